# The gateway in a slim image: no build tools, no package index, a user without a name, nothing to write to.

FROM python:3.13-slim AS build
WORKDIR /build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_ROOT_USER_ACTION=ignore
RUN python -m venv /opt/gateway
COPY requirements.lock requirements-build.lock ./
# Every file is checked against its hash; wheels only, so nothing runs while installing.
RUN /opt/gateway/bin/pip install --require-hashes --only-binary :all: -r requirements.lock \
 && python -m pip install --require-hashes --only-binary :all: -r requirements-build.lock
# What pyproject.toml names goes into the wheel with it.
COPY pyproject.toml README.md LICENSE ./
COPY gateway gateway
RUN python -m pip wheel --no-deps --no-build-isolation --no-index --wheel-dir /wheels . \
 && /opt/gateway/bin/pip install --no-deps --no-index --no-compile /wheels/*.whl \
 && /opt/gateway/bin/pip uninstall --yes pip \
 # Compiled here, since the root is read-only later; unchecked: the sources cannot change behind it.
 && /opt/gateway/bin/python -m compileall -q --invalidation-mode unchecked-hash /opt/gateway/lib

FROM python:3.13-slim
COPY --from=build /opt/gateway /opt/gateway
# A fresh volume takes over the owner of the folder it is mounted on: see docker-compose.yml.
RUN install -d -o 65532 -g 65532 -m 0750 /run/gateway
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
