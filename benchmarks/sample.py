"""The events and the aggregate that the benchmarks work with."""

from uuid import UUID

from pydantic import BaseModel

from eventsource import DeclarativeAggregate, DomainEvent, handles, register_event

ACCOUNT = "Account"


@register_event
class Deposited(DomainEvent):
    """Money came in."""

    event_type: str = "benchmarks.Deposited"
    aggregate_type: str = ACCOUNT
    amount: int = 0
    reference: str = ""


class Balance(BaseModel):
    """What an account holds."""

    amount: int = 0


class Account(DeclarativeAggregate[Balance]):
    """An account that is paid into."""

    aggregate_type = ACCOUNT

    def deposit(self, amount: int) -> None:
        """Pay in *amount*."""
        version = self.get_next_version()
        self.apply_event(Deposited(aggregate_id=self.aggregate_id, aggregate_version=version, amount=amount))

    @handles(Deposited)
    def _on_deposited(self, event: Deposited) -> None:
        self._state = Balance(amount=event.amount + (self._state.amount if self._state else 0))

    def _get_initial_state(self) -> Balance:
        return Balance()


def deposits(aggregate_id: UUID, count: int) -> list[Deposited]:
    """Return *count* events of a new account."""
    return [
        Deposited(aggregate_id=aggregate_id, aggregate_version=version, amount=version, reference=f"invoice {version}")
        for version in range(1, count + 1)
    ]
