FROM rust:1.95-bookworm AS build
WORKDIR /vitral
COPY . .
RUN cargo build --bin vitral && cp target/debug/vitral /usr/local/bin/

FROM debian:bookworm-slim
RUN apt-get update && apt-get install --yes --no-install-recommends ca-certificates curl && rm -rf /var/lib/apt/lists/*
COPY --from=build /usr/local/bin/vitral /usr/local/bin/
RUN useradd --system --create-home vitral && install --directory --owner vitral /data
USER vitral
WORKDIR /data
VOLUME /data
ENTRYPOINT ["vitral"]
