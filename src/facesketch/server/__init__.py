"""The studio and its API; needs the extra `serve`, `config` and `options` apart."""
