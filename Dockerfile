# The studio and its API:  docker build -t facesketch . && docker run --rm -p 8000:8000 \
#     -e FACESKETCH_API_KEY=a-long-secret-key --read-only facesketch
# docs/how-to/serving.md says more. No torch, no compiler, no root.
FROM python:3.13-slim AS build
WORKDIR /src
COPY pyproject.toml constraints.txt README.md LICENSE ./
COPY src src
RUN python -m venv /facesketch \
    && /facesketch/bin/pip install --no-cache-dir -c constraints.txt '.[serve,heic]'

FROM python:3.13-slim
RUN useradd --system --no-create-home --uid 10001 facesketch
COPY --from=build /facesketch /facesketch
USER 10001
ENV FACESKETCH_HOST=0.0.0.0 FACESKETCH_PORT=8000 PYTHONUNBUFFERED=1
EXPOSE 8000
HEALTHCHECK --interval=30s --timeout=5s --start-period=10s CMD ["/facesketch/bin/python", "-c", \
    "import http.client, os; \
     port = int(os.environ['FACESKETCH_PORT']); \
     connection = http.client.HTTPConnection('127.0.0.1', port, timeout=4); \
     connection.request('GET', '/readyz'); \
     raise SystemExit(connection.getresponse().status != 200)"]
ENTRYPOINT ["/facesketch/bin/facesketch", "serve"]
