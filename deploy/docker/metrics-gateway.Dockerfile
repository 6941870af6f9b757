# Telemetry: HTTP 8081, gRPC 7004, admin 9104.
#
# From source:             docker build -f deploy/docker/metrics-gateway.Dockerfile -t streamhaul/metrics-gateway .
# From prebuilt binaries:  put streamhaul-metrics-gateway into dist/, then the same with
#                          --build-arg BINARIES=prebuilt
# Needs BuildKit, so that only the chosen stage is built.
ARG BUILD_IMAGE=rust:1.95-bookworm
ARG RUN_IMAGE=debian:bookworm-slim
ARG BINARIES=source

FROM ${BUILD_IMAGE} AS source
WORKDIR /src
COPY . .
RUN cargo build --release --locked --package streamhaul-metrics-gateway \
    && cp target/release/streamhaul-metrics-gateway /streamhaul-metrics-gateway

FROM scratch AS prebuilt
COPY dist/streamhaul-metrics-gateway /streamhaul-metrics-gateway

FROM ${BINARIES} AS binaries

FROM ${RUN_IMAGE}
RUN useradd --system --uid 10001 --no-create-home --home-dir /var/lib/streamhaul streamhaul \
    && install -d -o streamhaul -g streamhaul -m 0700 /var/lib/streamhaul
COPY --from=binaries /streamhaul-metrics-gateway /usr/local/bin/streamhaul-metrics-gateway
USER streamhaul
# Nothing is written outside the volume: run it with a read-only root.
VOLUME /var/lib/streamhaul
EXPOSE 8081 7004 9104
HEALTHCHECK --interval=5s --timeout=3s --start-period=30s --retries=3 \
    CMD ["streamhaul-metrics-gateway", "--healthcheck"]
ENTRYPOINT ["streamhaul-metrics-gateway"]
