"""`pytest tests/games --long` plays a hundred times as many games and lines; the usual run has to end in minutes."""

import pytest


def pytest_addoption(parser):
    parser.addoption("--long", action="store_true", help="play 10,000 games of each kind, and send 100,000 GTP lines")


@pytest.fixture
def long(request) -> bool:
    """Whether this is the long run."""
    return request.config.getoption("--long")
