# The control plane: API, worker and the `coffer` command.  Database engines are not in it: servers come from a cloud.
#
#   docker build -t coffer:0.1.0 .

FROM python:3.11-slim-bookworm AS build
WORKDIR /src
RUN python -m venv /opt/coffer
COPY requirements.lock ./
RUN /opt/coffer/bin/pip install --no-cache-dir --disable-pip-version-check --no-deps --require-hashes -r requirements.lock
COPY . .
# setuptools is locked with the rest, so nothing is fetched here.
RUN /opt/coffer/bin/pip install --no-cache-dir --disable-pip-version-check --no-deps --no-build-isolation .

FROM python:3.11-slim-bookworm
RUN useradd --system --uid 42437 --user-group --home-dir /var/lib/coffer --create-home --shell /usr/sbin/nologin coffer
COPY --from=build /opt/coffer /opt/coffer
COPY etc/coffer.conf /etc/coffer/coffer.conf
ENV PATH=/opt/coffer/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    COFFER_CONFIG=/etc/coffer/coffer.conf
USER coffer
WORKDIR /var/lib/coffer
VOLUME /var/lib/coffer
EXPOSE 8779
ENTRYPOINT ["coffer"]
CMD ["--help"]
