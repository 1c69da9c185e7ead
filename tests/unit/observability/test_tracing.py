"""Spans of the application's own: where they begin and end, and where they are current."""

import asyncio
import inspect
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import aclosing, contextmanager
from contextvars import ContextVar
from typing import Any

import pytest

from eventsource.observability import TracingMixin, traced

current: ContextVar[str | None] = ContextVar("current", default=None)


class Traced(TracingMixin):
    """Records its spans, as an instrumentation would make it do."""

    def __init__(self) -> None:
        self._init_tracing(__name__)
        self.log: list[str] = []
        self.attributes: Mapping[str, Any] | None = None

    @contextmanager
    def _create_span_context(self, name: str, attributes: Mapping[str, Any] | None = None) -> Iterator[str]:  # type: ignore[override]
        self.attributes = attributes
        self.log.append(f"open {name}")
        token = current.set(name)
        try:
            yield name
        except Exception as error:
            self.log.append(f"record {type(error).__name__}")
            raise
        finally:
            current.reset(token)
            self.log.append(f"close {name}")


class Shop(Traced):
    @traced("price", {"currency": "EUR"})
    def price(self, amount: int, *, tax: int = 0) -> tuple[int, str | None]:
        """Return what it costs."""
        return amount + tax, current.get()

    @traced("order")
    async def order(self, amount: int, *, tax: int = 0) -> tuple[int, str | None]:
        await asyncio.sleep(0)
        return amount + tax, current.get()

    @traced("fail")
    def fail(self) -> None:
        raise KeyError("price")

    @traced("fail later")
    async def fail_later(self) -> None:
        raise KeyError("order")

    @traced("nested")
    async def nested(self) -> list[str | None]:
        before = current.get()
        _, inner = await self.order(1)
        return [before, inner, current.get()]

    @traced("walk")
    async def walk(self, steps: int, seen: list[str | None]) -> AsyncIterator[int]:
        """Walk some steps."""
        for step in range(steps):
            await asyncio.sleep(0)
            seen.append(current.get())
            yield step

    @traced("stumble")
    async def stumble(self) -> AsyncIterator[int]:
        yield 1
        raise KeyError("stone")

    @traced("echo")
    async def echo(self) -> Any:
        heard: Any = "ready"
        while heard != "stop":
            try:
                heard = yield (heard, current.get())
            except LookupError as error:
                heard = f"caught {type(error).__name__}"

    @traced("tidy")
    async def tidy(self, log: list[Any]) -> AsyncIterator[int]:
        try:
            yield 1
            yield 2
        finally:
            await asyncio.sleep(0)
            log.append(current.get())


class Untraced:
    @traced("price")
    def price(self, amount: int) -> tuple[int, str | None]:
        return amount, current.get()

    @traced("order")
    async def order(self, amount: int) -> tuple[int, str | None]:
        return amount, current.get()

    @traced("walk")
    async def walk(self, steps: int) -> AsyncIterator[int]:
        for step in range(steps):
            yield step


class Plain(TracingMixin):
    @traced("order")
    async def order(self, amount: int) -> int:
        return amount


async def converse(self: Any) -> AsyncIterator[str | None]:
    """Tell the current name and choose another one, at each step."""
    for name in ("generator's first", "generator's second"):
        yield current.get()
        current.set(name)
    yield current.get()


class Conversing:
    undecorated = converse
    decorated = traced("converse")(converse)


class ConversingMixed(Conversing, TracingMixin):
    pass


@pytest.fixture
def shop() -> Shop:
    return Shop()


class TestMixin:
    def test_an_object_wants_spans_unless_it_says_otherwise(self) -> None:
        """What it said can be read back."""
        willing, unwilling = Plain(), Plain()

        willing._init_tracing("shop")
        unwilling._init_tracing("shop", enable_tracing=False)

        assert (willing.tracing_enabled, unwilling.tracing_enabled, willing._tracer_name) == (True, False, "shop")

    def test_an_object_that_was_not_asked_wants_none(self) -> None:
        """A forgotten call is no error."""
        assert not Plain().tracing_enabled

    def test_without_instrumentation_there_is_no_span(self) -> None:
        """The block runs all the same."""
        with Plain()._create_span_context("order", {"a": 1}) as span:
            assert span is None

    async def test_without_instrumentation_methods_run_as_they_are(self) -> None:
        """Nothing has to be called first."""
        assert await Plain().order(5) == 5


class TestMethods:
    def test_a_plain_method_runs_within_its_span(self, shop: Shop) -> None:
        """Arguments and result pass through."""
        assert shop.price(5, tax=1) == (6, "price")

        assert (shop.log, current.get()) == (["open price", "close price"], None)

    async def test_a_coroutine_runs_within_its_span(self, shop: Shop) -> None:
        """From the first step to the last."""
        assert await shop.order(5, tax=1) == (6, "order")

        assert (shop.log, current.get()) == (["open order", "close order"], None)

    async def test_a_coroutine_that_is_not_awaited_has_no_span(self, shop: Shop) -> None:
        """Calling is not running."""
        shop.order(5).close()

        assert shop.log == []

    async def test_a_span_may_be_within_another(self, shop: Shop) -> None:
        """The outer one is current again afterwards."""
        assert await shop.nested() == ["nested", "order", "nested"]

    async def test_spans_of_concurrent_calls_do_not_mix(self, shop: Shop) -> None:
        """Each task has its own current span."""
        results = await asyncio.gather(shop.order(1), shop.nested(), shop.order(2))

        assert [results[0], results[2]] == [(1, "order"), (2, "order")]
        assert results[1] == ["nested", "order", "nested"]

    def test_the_attributes_are_handed_to_the_span(self, shop: Shop) -> None:
        """They are the same for every call."""
        shop.price(5)

        assert shop.attributes == {"currency": "EUR"}

    def test_an_error_reaches_span_and_caller(self, shop: Shop) -> None:
        """The span is closed after it."""
        with pytest.raises(KeyError, match="price"):
            shop.fail()

        assert shop.log == ["open fail", "record KeyError", "close fail"]

    async def test_an_error_of_a_coroutine_reaches_span_and_caller(self, shop: Shop) -> None:
        """The span is closed after it."""
        with pytest.raises(KeyError, match="order"):
            await shop.fail_later()

        assert shop.log == ["open fail later", "record KeyError", "close fail later"]


class TestGenerators:
    async def test_the_span_lasts_from_the_first_step_to_the_last(self, shop: Shop) -> None:
        """It is one span however many steps there are."""
        steps = [step async for step in shop.walk(3, [])]

        assert (steps, shop.log) == ([0, 1, 2], ["open walk", "close walk"])

    async def test_the_span_is_current_within_the_steps_only(self, shop: Shop) -> None:
        """What the consumer does is no part of it."""
        inside: list[str | None] = []
        outside = [current.get() async for _ in shop.walk(3, inside)]

        assert (inside, outside) == (["walk"] * 3, [None] * 3)

    async def test_a_span_that_the_consumer_opens_stays_the_consumers(self, shop: Shop) -> None:
        """The generator neither sees nor closes it."""
        inside: list[str | None] = []
        with shop._create_span_context("consumer"):
            outside = [current.get() async for _ in shop.walk(2, inside)]

        assert (inside, outside) == (["walk"] * 2, ["consumer"] * 2)

    async def test_generators_that_take_turns_do_not_mix(self, shop: Shop) -> None:
        """Each has a span of its own."""
        walked, stumbled = list[str | None](), shop.stumble()
        async for _ in shop.walk(2, walked):
            if stumbled:
                await anext(stumbled)
                await stumbled.aclose()  # type: ignore[attr-defined]
                stumbled = None  # type: ignore[assignment]

        assert (walked, current.get()) == (["walk", "walk"], None)

    async def test_a_generator_that_is_never_walked_has_no_span(self, shop: Shop) -> None:
        """Calling is not walking."""
        await shop.walk(3, []).aclose()  # type: ignore[attr-defined]

        assert shop.log == []

    async def test_an_early_break_closes_the_span_once(self, shop: Shop) -> None:
        """Without recording an error, as none has happened."""
        async with aclosing(shop.walk(3, [])) as steps:  # type: ignore[type-var]
            async for _ in steps:
                break

        assert (shop.log, current.get()) == (["open walk", "close walk"], None)

    async def test_a_generator_tidies_up_within_its_span(self, shop: Shop) -> None:
        """Its finally block may await."""
        log: list[Any] = []
        async with aclosing(shop.tidy(log)) as steps:  # type: ignore[type-var]
            await anext(steps)

        assert (log, shop.log) == (["tidy"], ["open tidy", "close tidy"])

    async def test_an_error_reaches_span_and_consumer(self, shop: Shop) -> None:
        """The span is closed after it."""
        with pytest.raises(KeyError, match="stone"):
            _ = [step async for step in shop.stumble()]

        assert (shop.log, current.get()) == (["open stumble", "record KeyError", "close stumble"], None)

    async def test_values_can_be_sent(self, shop: Shop) -> None:
        """The generator answers within its span."""
        echo = shop.echo()

        heard = [await anext(echo), await echo.asend("hello")]
        with pytest.raises(StopAsyncIteration):
            await echo.asend("stop")

        assert heard == [("ready", "echo"), ("hello", "echo")]
        assert shop.log == ["open echo", "close echo"]

    async def test_errors_can_be_thrown_in_and_handled(self, shop: Shop) -> None:
        """The generator goes on if it handles them."""
        async with aclosing(shop.echo()) as echo:
            await anext(echo)

            heard = await echo.athrow(KeyError("door"))

        assert (heard, shop.log) == (("caught KeyError", "echo"), ["open echo", "close echo"])

    async def test_an_error_that_is_not_handled_comes_out_again(self, shop: Shop) -> None:
        """It ends the generator and its span."""
        echo, thrown = shop.echo(), ValueError("no door")
        await anext(echo)

        with pytest.raises(ValueError, match="no door") as caught:
            await echo.athrow(thrown)

        assert (caught.value, shop.log) == (thrown, ["open echo", "record ValueError", "close echo"])

    async def test_cancelling_a_step_closes_the_span(self, shop: Shop) -> None:
        """The generator is interrupted where it waits, and tidies up."""
        waiting, tidied = asyncio.Event(), list[str | None]()

        class Slow(Shop):
            @traced("wait")
            async def wait(self) -> AsyncIterator[int]:
                try:
                    waiting.set()
                    await asyncio.Event().wait()
                    yield 1
                finally:
                    tidied.append(current.get())

        slow = Slow()
        step = asyncio.ensure_future(anext(slow.wait()))
        await waiting.wait()
        step.cancel()
        with pytest.raises(asyncio.CancelledError):
            await step

        assert (tidied, slow.log, current.get()) == (["wait"], ["open wait", "close wait"], None)


class TestOtherClasses:
    async def test_their_methods_are_called_as_they_are(self) -> None:
        """Without the mixin there are no spans, and no errors."""
        other = Untraced()

        assert (other.price(5), await other.order(6)) == ((5, None), (6, None))
        assert [step async for step in other.walk(2)] == [0, 1]

    @pytest.mark.parametrize("kind", [Conversing, ConversingMixed])
    async def test_their_generators_share_the_context_of_whoever_iterates(self, kind: Any) -> None:
        """Where there is no span, each step sees what the consumer has set since, and the other way round."""
        heard: dict[str, list[str | None]] = {}
        for method in ("undecorated", "decorated"):
            heard[method] = []
            token = current.set("consumer's")
            async for step in getattr(kind(), method)():
                heard[method] += [step, current.get()]
                current.set(f"consumer's after {step}")
            current.reset(token)

        assert heard["decorated"] == heard["undecorated"]
        assert heard["decorated"][:3] == ["consumer's", "consumer's", "generator's first"]

    def test_a_generator_that_is_not_asynchronous_is_refused(self) -> None:
        """Its span would end before its first step; the error names it when the class is made."""
        with pytest.raises(TypeError, match=r"Counting\.count is a generator: make it asynchronous"):

            class Counting(TracingMixin):
                @traced("count")
                def count(self) -> Iterator[int]:
                    yield 1


class TestAppearance:
    @pytest.mark.parametrize("name", ["price", "order", "walk"])
    def test_a_method_keeps_its_name_and_signature(self, name: str) -> None:
        """Documentation and editors see what was written."""
        method = getattr(Shop, name)
        written = inspect.unwrap(method)

        assert (method.__name__, method.__qualname__) == (name, f"Shop.{name}")
        assert inspect.signature(method) == inspect.signature(written)
        assert method is not written

    def test_a_method_keeps_its_docstring(self) -> None:
        """Help shows it."""
        assert (Shop.price.__doc__, Shop.walk.__doc__) == ("Return what it costs.", "Walk some steps.")

    def test_a_method_stays_what_it_was(self) -> None:
        """Frameworks look whether they have to await or to iterate."""
        kinds = [inspect.iscoroutinefunction(Shop.order), inspect.isasyncgenfunction(Shop.walk)]

        assert kinds == [True, True]
        assert not inspect.iscoroutinefunction(Shop.price)
