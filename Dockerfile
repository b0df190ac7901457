# The viewer's third-party modules and the map's fonts, from npm.
FROM node:22-slim AS viewer
WORKDIR /viewer
COPY viewer/package.json viewer/package-lock.json viewer/vendor.mjs viewer/glyphs.mjs ./
COPY viewer/licenses licenses
RUN npm ci --omit=dev --no-audit --no-fund && npm run vendor

# The server with its dependencies, pinned and checked, in a virtual environment.
FROM python:3.13-slim AS build
WORKDIR /build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
COPY requirements.lock requirements-build.lock ./
RUN python -m venv /opt/tileserver \
 && /opt/tileserver/bin/pip install --require-hashes -r requirements.lock \
 && pip install --root-user-action=ignore --require-hashes -r requirements-build.lock
COPY pyproject.toml hatch_build.py README.md LICENSE ./
COPY tileserver tileserver
COPY layers layers
COPY styles styles
COPY viewer viewer
COPY --from=viewer /viewer/vendor viewer/vendor
RUN pip wheel --no-deps --no-build-isolation --wheel-dir /wheels . \
 && /opt/tileserver/bin/pip install --no-deps /wheels/*.whl

FROM python:3.13-slim
COPY --from=build /opt/tileserver /opt/tileserver
ENV PATH=/opt/tileserver/bin:$PATH PYTHONUNBUFFERED=1

# The defaults of the settings are relative: data/, snapshots/, rasters/, and layers/ and styles/ where they are mounted.
WORKDIR /srv/tileserver
RUN useradd --system --uid 10001 --no-create-home --home-dir /srv/tileserver tileserver \
 && mkdir data snapshots rasters && chown tileserver: data snapshots rasters
VOLUME ["/srv/tileserver/data", "/srv/tileserver/snapshots", "/srv/tileserver/rasters"]
USER tileserver

EXPOSE 8000
HEALTHCHECK --interval=15s --timeout=5s --start-period=30s \
  CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8000/health/live', timeout=4)"]
ENTRYPOINT ["tileserver"]
CMD ["serve", "--host", "0.0.0.0", "--port", "8000"]
