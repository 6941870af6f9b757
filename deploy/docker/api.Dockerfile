# The control plane: HTTP 8080, gRPC 7001, admin 9101.
#
# From source:             docker build -f deploy/docker/api.Dockerfile -t streamhaul/api .
# From prebuilt binaries:  put streamhaul-api into dist/, then the same with
#                          --build-arg BINARIES=prebuilt
# Needs BuildKit, so that only the chosen stage is built.
ARG BUILD_IMAGE=rust:1.95-bookworm
ARG RUN_IMAGE=debian:bookworm-slim
ARG WEB_IMAGE=node:22-bookworm-slim
ARG BINARIES=source

FROM ${WEB_IMAGE} AS web
WORKDIR /web
COPY crates/api/web .
RUN npm ci --no-audit --no-fund && npm run build

FROM ${BUILD_IMAGE} AS source
WORKDIR /src
COPY . .
COPY --from=web /web/dist crates/api/web/dist
RUN cargo build --release --locked --package streamhaul-api \
    && cp target/release/streamhaul-api /streamhaul-api

FROM scratch AS prebuilt
COPY dist/streamhaul-api /streamhaul-api

FROM ${BINARIES} AS binaries

FROM ${RUN_IMAGE}
RUN useradd --system --uid 10001 --no-create-home --home-dir /var/lib/streamhaul streamhaul \
    && install -d -o streamhaul -g streamhaul -m 0700 /var/lib/streamhaul
COPY --from=binaries /streamhaul-api /usr/local/bin/streamhaul-api
USER streamhaul
# Nothing is written outside the volume: run it with a read-only root.
VOLUME /var/lib/streamhaul
EXPOSE 8080 7001 9101
HEALTHCHECK --interval=5s --timeout=3s --start-period=30s --retries=3 \
    CMD ["streamhaul-api", "--healthcheck"]
ENTRYPOINT ["streamhaul-api"]
