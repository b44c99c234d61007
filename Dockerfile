# The gateway in a slim image: no build tools, no package index, a user without a name, nothing to write to.
# Two layers of our own: what requirements.lock names, and the gateway, so that a new gateway leaves the first as it is,
# and what lists the packages of an image (for an SBOM) finds each with its version and files (*.dist-info) in one place.

FROM python:3.13-slim AS dependencies
WORKDIR /build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_ROOT_USER_ACTION=ignore
COPY requirements.lock ./
# Every file is checked against its hash; wheels only, so nothing runs while installing. pip itself stays outside.
# Compiled here, since the root is read-only later; unchecked: the sources cannot change behind it.
RUN python -m venv --without-pip /opt/gateway \
 && python -m pip --python /opt/gateway/bin/python install --require-hashes --only-binary :all: --no-compile \
      -r requirements.lock \
 && /opt/gateway/bin/python -m compileall -q --invalidation-mode unchecked-hash /opt/gateway/lib

FROM dependencies AS build
# 1: what a request passes by becomes shared objects, from the same sources. Anything else: pure Python.
ARG COMPILE=0
RUN if [ "$COMPILE" = 1 ]; then \
      apt-get update -qq && apt-get install -y -qq --no-install-recommends gcc libc6-dev; \
    fi
COPY requirements-build.lock ./
# What compiles reads the types of what is imported, so it has that as well.
RUN python -m pip install --require-hashes --only-binary :all: -r requirements.lock -r requirements-build.lock
# What pyproject.toml names goes into the wheel with it.
COPY pyproject.toml setup.py README.md LICENSE ./
COPY gateway gateway
RUN GATEWAY_COMPILE=$COMPILE python -m pip wheel --no-deps --no-build-isolation --no-index --wheel-dir /wheels . \
 && python -m pip --python /opt/gateway/bin/python install --no-deps --no-index --no-compile --prefix /own /wheels/*.whl \
 && /opt/gateway/bin/python -m compileall -q --invalidation-mode unchecked-hash -s /own -p /opt/gateway /own/lib

FROM python:3.13-slim
COPY --from=dependencies /opt/gateway /opt/gateway
COPY --from=build /own /opt/gateway
# A fresh volume takes over the owner of the folder it is mounted on: see docker-compose.yml.
RUN install -d -o 65532 -g 65532 -m 0750 /run/gateway /run/engine
ENV PATH=/opt/gateway/bin:$PATH PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1
# A number, so that `runAsNonRoot` of Kubernetes can see that it is not root.
USER 65532:65532
WORKDIR /etc/gateway
EXPOSE 8080
STOPSIGNAL SIGTERM
# The admin port listens on the container's own loopback, or on every address of it.
HEALTHCHECK --interval=5s --timeout=5s --start-period=20s CMD ["gateway", "health"]
ENTRYPOINT ["gateway"]
CMD ["serve", "-c", "/etc/gateway/gateway.yaml"]
# Last, since they change with every commit: docker build --build-arg REVISION=$(git rev-parse HEAD) .
ARG VERSION=0.1.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="mastra-auth-gateway" \
      org.opencontainers.image.description="An auth gateway that stands in front of a Mastra server" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="$VERSION" \
      org.opencontainers.image.revision="$REVISION"
