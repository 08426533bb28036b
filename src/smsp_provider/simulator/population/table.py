"""The reference page of the population, made from the same data that fills the store."""

from smsp_provider.simulator.population.book import Ask, Scenario

__all__ = ["reference_table"]

_HEAD = (
    "| what is special | NHS number | date of birth | family | given | gender | postcode "
    "| cross-check | trace | retrieval | verify | get number | details by number | details by search | details |\n"
    f"|{'---|' * 15}\n"
)


def reference_table(scenarios: tuple[Scenario, ...]) -> str:
    """Markdown: one table a theme, one line a request."""
    parts = []
    theme = None
    for scenario in scenarios:
        if scenario.theme != theme:
            theme = scenario.theme
            parts.append(f"\n### {theme}\n\n{_HEAD}")
        parts.append(_line(scenario))
    return "".join(parts)


def _line(scenario: Scenario) -> str:
    ask, expected = scenario.ask, scenario.expected
    codes = (expected.verify, expected.get_number, expected.by_number, expected.by_search, expected.details)
    spine = (expected.cross_check, expected.trace, expected.retrieval)
    cells = [scenario.title, *_asked(ask), *spine, *codes]
    return "| " + " | ".join(_cell(cell) for cell in cells) + " |\n"


def _asked(ask: Ask) -> tuple[str | None, ...]:
    return (ask.nhs_number, ask.date_of_birth, ask.family, ask.given, ask.gender, ask.postcode)


def _cell(value: str | None) -> str:
    """Text as Markdown takes it in a table; what is not sent or not defined is a dash."""
    if not value:
        return "-"
    return value.replace("&", "&amp;").replace("<", "&lt;").replace("|", "\\|").replace("*", "\\*").replace("_", "\\_")
