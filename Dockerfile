# The provider as a service: two stages, so that nothing of the build stays in the image.
FROM python:3.11-slim AS build
WORKDIR /build
COPY pyproject.toml README.md LICENSE requirements/runtime.txt ./
COPY src src
COPY schemas schemas
COPY wsdl wsdl
COPY config config
RUN python -m venv /opt/smsp \
 && /opt/smsp/bin/pip install --no-cache-dir --require-hashes -r runtime.txt \
 && python -m pip wheel --no-cache-dir --no-deps -w dist . \
 && /opt/smsp/bin/pip install --no-cache-dir --no-deps dist/*.whl

FROM python:3.11-slim
RUN useradd --system --create-home --home-dir /var/lib/smsp --shell /usr/sbin/nologin smsp
COPY --from=build /opt/smsp /opt/smsp
ENV PATH=/opt/smsp/bin:$PATH PYTHONUNBUFFERED=1
USER smsp
WORKDIR /var/lib/smsp
EXPOSE 8443
# Settings, certificates and keys are mounted read-only at /etc/smsp; the audit trail needs a volume at /var/lib/smsp.
# Live needs a witness of the trail besides: audit.witness_url, or audit.witness_file on a volume of another machine.
VOLUME /var/lib/smsp
CMD ["smsp", "serve", "--config", "/etc/smsp/provider.toml"]
