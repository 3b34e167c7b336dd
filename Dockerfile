# Both commands, `augment` and `train`, for CPUs or NVIDIA GPUs. docs/installation.md explains how to use the image.
#
#     docker build --tag epochbank .
#     docker build --tag epochbank:cuda --build-arg EXTRAS=train-cuda,report \
#         --build-arg BASE=nvidia/cuda:12.6.3-base-ubuntu24.04 .
#
# Not tested: no image has been built, with either base. The commands of this file were run in a minimal Debian 13
# without Docker, see docs/installation.md.

# The versions of Debian's packages depend on BASE.
# hadolint global ignore=DL3008

# Debian or Ubuntu with Python 3.11 to 3.13.
ARG BASE=debian:trixie-slim

FROM ${BASE} AS build
# Extras of pyproject.toml, such as train, train-cuda, jax, torch, report, cluster, objects; separated by commas.
ARG EXTRAS=train,report
RUN apt-get update \
    && apt-get install --yes --no-install-recommends python3 python3-venv \
    && rm -rf /var/lib/apt/lists/*
RUN python3 -m venv /opt/epochbank
COPY . /src
RUN /opt/epochbank/bin/pip install --no-cache-dir --constraint /src/constraints.txt "/src[${EXTRAS}]"

FROM ${BASE}
RUN apt-get update \
    && apt-get install --yes --no-install-recommends python3 \
    && rm -rf /var/lib/apt/lists/* \
    && mkdir --parents /data /cache /work/sets /work/runs \
    # Any user can write here, so that `docker run --user` works with any number.
    && chmod 1777 /cache /work /work/sets /work/runs
COPY --from=build /opt/epochbank /opt/epochbank
ENV PATH=/opt/epochbank/bin:${PATH} \
    # Numba keeps the compiled engine here, Matplotlib its list of fonts, and epochbank the shards of object stores.
    HOME=/cache \
    NUMBA_CACHE_DIR=/cache/numba \
    XDG_CACHE_HOME=/cache \
    # For NVIDIA's container runtime.
    NVIDIA_VISIBLE_DEVICES=all \
    NVIDIA_DRIVER_CAPABILITIES=compute,utility
USER 1000:1000
WORKDIR /work
# /data: sources, mounted read-only. /work: the working directory, with sets/ and runs/.
VOLUME ["/data", "/work", "/cache"]
CMD ["augment", "--help"]
