# SPDX-License-Identifier: GPL-3.0-or-later
# An image with everything that a node needs (docs/launchers.md), and the program itself:
#
#   docker build -t rollouts .
#   docker run --rm rollouts --version
#
# Sandboxes in it need what docs/inside-a-container.md says.
FROM debian:bookworm AS build
COPY . /src
WORKDIR /src
RUN apt-get update && tools/setup build && meson setup /build --prefix=/usr -Dwerror=false -Dunit_tests=disabled \
    && ninja -C /build && DESTDIR=/out meson install -C /build --no-rebuild

FROM debian:bookworm
RUN apt-get update && apt-get install -y --no-install-recommends bubblewrap ca-certificates git libbrotli1 libcurl4 libgsl27 \
    libjansson4 libmicrohttpd12 libsqlite3-0 libzstd1 python3 python3-pytest zlib1g && rm -rf /var/lib/apt/lists/*
COPY --from=build /out/ /
ENTRYPOINT ["rollouts"]
