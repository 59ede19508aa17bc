"""docs/families.md says what the registry says."""

from tests.families.page import PAGE, page


def test_the_page_of_families_is_current():
    assert PAGE.read_text() == page(), "`python -m tests.families.page` writes it anew"
