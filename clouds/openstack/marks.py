"""What all of ours in Neutron has in common: whose it is, and which of its refusals do not pass."""

from clouds.openstack.calls import Refused
from clouds.ports import CloudError

OWNED = "Coffer instance "
FINAL_FAULTS = {
    "OverQuota": 403,
    "IpAddressGenerationFailure": 403,
    "IpAddressAlreadyAllocated": 400,
    "IpAddressInUse": 400,
}
"""Refusals that Neutron calls conflicts, and that do not pass by themselves."""


def final(error: Refused) -> CloudError:
    # A network that is not there will not come by waiting.
    status = FINAL_FAULTS.get(error.fault, 400 if error.status == 404 else error.status)
    return CloudError(str(error), status, error.retry_after)
