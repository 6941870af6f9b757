# Background work: gRPC 7002, admin 9102.
#
# From source:             docker build -f deploy/docker/jobs.Dockerfile -t streamhaul/jobs .
# From prebuilt binaries:  put streamhaul-jobs into dist/, then the same with
#                          --build-arg BINARIES=prebuilt
# Needs BuildKit, so that only the chosen stage is built.
ARG BUILD_IMAGE=rust:1.95-bookworm
ARG RUN_IMAGE=debian:bookworm-slim
ARG BINARIES=source

FROM ${BUILD_IMAGE} AS source
WORKDIR /src
COPY . .
RUN cargo build --release --locked --package streamhaul-jobs \
    && cp target/release/streamhaul-jobs /streamhaul-jobs

FROM scratch AS prebuilt
COPY dist/streamhaul-jobs /streamhaul-jobs

FROM ${BINARIES} AS binaries

FROM ${RUN_IMAGE}
# Backups copy the database with pg_basebackup, which must be as new as the server; set
# POSTGRES_CLIENT to nothing to do without them.
ARG POSTGRES_CLIENT=postgresql-client
RUN if [ -n "${POSTGRES_CLIENT}" ]; then apt-get update \
    && apt-get install --yes --no-install-recommends ${POSTGRES_CLIENT} ca-certificates \
    && rm -rf /var/lib/apt/lists/*; fi
RUN useradd --system --uid 10001 --no-create-home --home-dir /var/lib/streamhaul streamhaul \
    && install -d -o streamhaul -g streamhaul -m 0700 /var/lib/streamhaul
COPY --from=binaries /streamhaul-jobs /usr/local/bin/streamhaul-jobs
USER streamhaul
# Nothing is written outside the volume: run it with a read-only root.
VOLUME /var/lib/streamhaul
EXPOSE 7002 9102
HEALTHCHECK --interval=5s --timeout=3s --start-period=30s --retries=3 \
    CMD ["streamhaul-jobs", "--healthcheck"]
ENTRYPOINT ["streamhaul-jobs"]
