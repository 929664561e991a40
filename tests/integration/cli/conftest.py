"""Fixtures of the command line's tests: sites that end with the test, or with the file's last one."""
import pytest

from site_under_test import Site


@pytest.fixture
def make_site(tmp_path):
    """make_site(name="site", **options) -> a Site that has not been started; its end is checked."""
    made = []

    def make(name="site", *options, **more):
        made.append(Site(tmp_path / name, *options, **more))
        return made[-1]

    yield make
    errors = []
    for site in made:
        try:
            site.close()
        except Exception as error:
            errors.append(error)
    if errors:
        raise errors[0]


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """One running site for all tests of a file; each uses names of its own."""
    with Site(tmp_path_factory.mktemp("cli") / "site") as site:
        yield site
