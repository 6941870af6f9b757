# The data plane: UDP 5000, 4001, 4000, stats 8090, admin 9103.
#
# From source:             docker build -f deploy/docker/relay-node.Dockerfile -t streamhaul/relay-node .
# From prebuilt binaries:  put streamhaul-relay-node into dist/, then the same with
#                          --build-arg BINARIES=prebuilt
# Needs BuildKit, so that only the chosen stage is built.
ARG BUILD_IMAGE=rust:1.95-bookworm
ARG RUN_IMAGE=debian:bookworm-slim
ARG BINARIES=source

FROM ${BUILD_IMAGE} AS source
WORKDIR /src
COPY . .
RUN cargo build --release --locked --package streamhaul-relay-node \
    && cp target/release/streamhaul-relay-node /streamhaul-relay-node

FROM scratch AS prebuilt
COPY dist/streamhaul-relay-node /streamhaul-relay-node

FROM ${BINARIES} AS binaries

FROM ${RUN_IMAGE}
RUN useradd --system --uid 10001 --no-create-home --home-dir /var/lib/streamhaul streamhaul \
    && install -d -o streamhaul -g streamhaul -m 0700 /var/lib/streamhaul
COPY --from=binaries /streamhaul-relay-node /usr/local/bin/streamhaul-relay-node
USER streamhaul
# Nothing is written outside the volume: run it with a read-only root.
VOLUME /var/lib/streamhaul
EXPOSE 5000/udp 4001/udp 4000/udp 8090 9103
HEALTHCHECK --interval=5s --timeout=3s --start-period=30s --retries=3 \
    CMD ["streamhaul-relay-node", "--healthcheck"]
ENTRYPOINT ["streamhaul-relay-node"]
