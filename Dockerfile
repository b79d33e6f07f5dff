# Base images by exact version. Where a registry can be reached, pin them by digest too (`docker buildx imagetools inspect IMAGE`):
# a tag can be moved, a digest cannot.
FROM rust:1.95.0-bookworm AS build
WORKDIR /vitral
COPY . .
# What runs in production is optimised fully (docs/adr/0013). The C compiler, make and perl are in the image.
RUN cargo build --locked --release --bin vitral

FROM debian:12.12-slim
RUN apt-get update \
    && apt-get upgrade --yes \
    && apt-get install --yes --no-install-recommends ca-certificates curl \
    && rm -rf /var/lib/apt/lists/*
COPY --from=build /vitral/target/release/vitral /usr/local/bin/
RUN useradd --system --uid 10001 --create-home vitral && install --directory --owner vitral --group vitral --mode 700 /data
USER 10001
WORKDIR /data
VOLUME /data
ENTRYPOINT ["vitral"]
