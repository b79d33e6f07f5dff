# syntax=docker/dockerfile:1
# Two images of what is released:
#   docker build --target vitral --tag vitral .             the product, without the demo's broker (the default)
#   docker build --target vitral-demo --tag vitral-demo .   everything, for trying it out
#
# Base images by exact version. Where a registry can be reached, pin them by digest too (`docker buildx imagetools inspect IMAGE`):
# a tag can be moved, a digest cannot.
FROM rust:1.95.0-bookworm AS chef
# The image's toolchain, without the components that rust-toolchain.toml asks of developers.
ENV RUSTUP_TOOLCHAIN=1.95.0
RUN cargo install cargo-chef --version 0.1.78 --locked
WORKDIR /vitral

# What the dependencies are, apart from our own code: as long as that stays, so do their layers.
FROM chef AS plan
COPY . .
RUN cargo chef prepare --recipe-path recipe.json

# Each with the features of what is built on it: others would build parts of it twice. The C compiler, make and perl are in the image.
FROM chef AS dependencies
COPY --from=plan /vitral/recipe.json .
RUN cargo chef cook --locked --profile dist --package vitral --no-default-features --features kafka-tls,mongodb --recipe-path recipe.json

FROM dependencies AS dependencies-demo
RUN cargo chef cook --locked --profile dist --package vitral --features mongodb --recipe-path recipe.json

FROM dependencies AS build
COPY . .
RUN cargo build --locked --profile dist --package vitral --bin vitral --no-default-features --features kafka-tls,mongodb
RUN mkdir /notices && cp LICENSE /notices && scripts/third-party /notices

FROM dependencies-demo AS build-demo
COPY . .
RUN cargo build --locked --profile dist --package vitral --bin vitral --features mongodb
RUN mkdir /notices && cp LICENSE /notices && scripts/third-party /notices

FROM debian:12.12-slim AS base
RUN apt-get update \
    && apt-get upgrade --yes \
    && apt-get install --yes --no-install-recommends ca-certificates curl \
    && rm -rf /var/lib/apt/lists/*
RUN useradd --system --uid 10001 --create-home vitral && install --directory --owner vitral --group vitral --mode 700 /data
USER 10001
WORKDIR /data
VOLUME /data
ENTRYPOINT ["vitral"]

FROM base AS vitral-demo
COPY --from=build-demo /vitral/target/dist/vitral /usr/local/bin/
COPY --from=build-demo /notices /usr/share/doc/vitral
# Within the container everywhere: what of it can be reached is what `docker run --publish` says.
CMD ["demo", "--kafka", "0.0.0.0:9092", "--api", "0.0.0.0:8080"]

# Last, and so what `docker build .` makes.
FROM base AS vitral
COPY --from=build /vitral/target/dist/vitral /usr/local/bin/
COPY --from=build /notices /usr/share/doc/vitral
