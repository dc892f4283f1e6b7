import pytest


@pytest.fixture(autouse=True)
def one_thread(monkeypatch):
    """A number of threads, so that a busy machine adds no advice to stderr."""
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
