"""The state of every batch and line: one protocol, in Redis or in memory."""

from contract.ledger.protocol import Batches, Ledger, Lines
from contract.ledger.records import Claim, ClaimRefused, Issued

__all__ = ["Batches", "Claim", "ClaimRefused", "Issued", "Ledger", "Lines"]
