"""The state of every batch and line: one protocol, in Redis or in memory."""

from contract.ledger.protocol import Batches, Claim, ClaimRefused, Issued, Ledger, Lines

__all__ = ["Batches", "Claim", "ClaimRefused", "Issued", "Ledger", "Lines"]
