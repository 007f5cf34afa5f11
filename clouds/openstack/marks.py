"""What all of ours in Neutron has in common: whose it is, and which of its refusals do not pass."""

from clouds.openstack.calls import Refused
from clouds.ports import CloudError

OWNED = "Coffer instance "
FINAL_FAULTS = {
    "OverQuota": 403,
    "IpAddressGenerationFailure": 403,
}
"""Refusals that Neutron calls conflicts, and that do not pass by themselves."""
TAKEN = {"IpAddressAlreadyAllocated": 400, "IpAddressInUse": 400}
"""Nor do these, where the address was asked for; where Neutron chose it, it chooses another next time."""


def final(error: Refused, *, address_chosen: bool = False) -> CloudError:
    faults = {**FINAL_FAULTS, **(TAKEN if address_chosen else {})}
    # A network that is not there will not come by waiting.
    status = faults.get(error.fault, 400 if error.status == 404 else error.status)
    return CloudError(str(error), status, error.retry_after)
