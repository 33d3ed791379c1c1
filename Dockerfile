# The same contents as `make image`, for those who have a container engine:
#
#   docker build --build-arg VERSION=0.1.0 --build-arg REVISION=$(git rev-parse HEAD) --tag busgrant:0.1.0 .
#
# musl, since what glibc looks up names with is loaded at run time. The image's architecture is that of the machine that
# builds, or what --platform says.
FROM rust:1.95.0-alpine AS build
RUN apk add --no-cache musl-dev gcc make python3
WORKDIR /busgrant
COPY . .
ARG REVISION=unknown
ENV BUSGRANT_REVISION=$REVISION
# Instead of rust-toolchain.toml, which names tools that nothing here needs.
ENV RUSTUP_TOOLCHAIN=1.95.0 RUSTFLAGS="-C target-feature=+crt-static"
RUN cargo build --release --locked --package busgrant --bin busgrant && hack/image --certificates >ca-certificates.crt

FROM scratch
ARG VERSION=unknown REVISION=unknown
LABEL org.opencontainers.image.title=busgrant \
      org.opencontainers.image.description="A Kubernetes operator for who may put events on an Amazon EventBridge event bus" \
      org.opencontainers.image.version=$VERSION \
      org.opencontainers.image.revision=$REVISION \
      org.opencontainers.image.source=https://github.com/busgrant/busgrant \
      org.opencontainers.image.documentation=https://github.com/busgrant/busgrant/blob/main/docs/install.md \
      org.opencontainers.image.licenses="Apache-2.0 AND CDLA-Permissive-2.0"
COPY --from=build /busgrant/target/release/busgrant /busgrant
COPY --from=build /busgrant/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
ENV SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt
USER 65532:65532
ENTRYPOINT ["/busgrant"]
