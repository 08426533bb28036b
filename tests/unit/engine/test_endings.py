"""What operators are told of the end of an exchange."""

from smsp_provider.audit.events import RequestFacts
from smsp_provider.audit.operator_events import RequestAnswered
from smsp_provider.domain.service import Service
from smsp_provider.domain.spine_answers import ExchangeIds
from smsp_provider.engine.asking import Inquiry
from smsp_provider.engine.endings import Exchange, event_of


def test_an_event_says_of_the_exchange_what_its_fields_are_called() -> None:
    facts = RequestFacts("192.0.2.1", username="calling-system", service=Service.GET_NHS_NUMBER)
    inquiry = Inquiry([ExchangeIds("query", ("sent",))])
    exchange = Exchange("exchange", 1.0, "url", "7D6F23E0-AE1A-11DB-9808-B18E1E0994CD", facts, inquiry, size=77)
    assert event_of(exchange, 5, "2200", 500, "error") == RequestAnswered(
        exchange_id="exchange",
        message_id="7D6F23E0-AE1A-11DB-9808-B18E1E0994CD",
        username="calling-system",
        service=Service.GET_NHS_NUMBER,
        code="2200",
        status=500,
        duration_ms=5,
        spine_exchanges=1,
        error_id="error",
        request_bytes=77,
    )


def test_an_event_does_not_repeat_a_message_id_that_was_not_checked() -> None:
    exchange = Exchange("exchange", 1.0, "url", "anything", RequestFacts("192.0.2.1"), Inquiry())
    assert event_of(exchange, 5, "1000", 500, "error").message_id is None
