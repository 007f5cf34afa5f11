"""Which of Neutron's conflicts pass by themselves."""

import pytest

from clouds.openstack.calls import Refused
from clouds.openstack.marks import final


@pytest.mark.parametrize(
    ("fault", "chosen", "status"),
    [
        ("IpAddressInUse", True, 400),
        ("IpAddressInUse", False, 409),
        ("IpAddressAlreadyAllocated", True, 400),
        ("IpAddressAlreadyAllocated", False, 409),
        ("OverQuota", True, 403),
        ("OverQuota", False, 403),
        ("MacAddressInUse", True, 409),
    ],
)
def test_a_taken_address_is_final_only_where_it_was_asked_for(fault: str, chosen: bool, status: int) -> None:
    refused = Refused("no", 409, 2.0, fault)
    told = final(refused, address_chosen=chosen)
    assert (told.status, told.retry_after) == (status, 2.0)
