"""Security groups, routers and floating IPs of netns guests, in nftables.

`ruleset` is the whole of it, from what Neutron says; plugins/testbed_plugins
/filtering.py applies it anew when Neutron has changed something. What comes
in to a guest is filtered where its link leaves the bridge. A bridge keeps no
connections here, so TCP is filtered by its first packet, and of UDP only what
a rule lets in arrives.
"""
import os
import pathlib
import subprocess

from testbed import settings as s

TABLE = f'testbed_{s.BASE}'
OUTSIDE = f'tbx{s.BASE}'
NFT = '/usr/sbin/nft'
FORWARD = pathlib.Path('/proc/sys/net/ipv4/ip_forward')
NOBODYS = 'network:'


def link(port_id):
    """A guest's end on the host, as guests.vif_spec names it."""
    return f'tv{port_id[:12]}'


def bridge(network_id):
    return f'tb{network_id[:12]}'


# --- what Neutron says, as text ---------------------------------------------

def ruleset(ports, rules, routers, floating, subnets):
    """Dictionaries as Neutron's API shows them."""
    return '\n'.join([
        f'table bridge {TABLE}', f'delete table bridge {TABLE}',
        f'table ip {TABLE}', f'delete table ip {TABLE}',
        f'table bridge {TABLE} {{', *_guards(ports, rules), '}',
        f'table ip {TABLE} {{', *_routes(ports, routers, floating, subnets),
        '}', ''])


def _guards(ports, rules):
    members = {}
    for port in ports:
        for group in port['security_groups']:
            members.setdefault(group, []).extend(
                ip['ip_address'] for ip in port['fixed_ips'])
    guarded = [port for port in ports if port['port_security_enabled']
               and not port['device_owner'].startswith(NOBODYS)]
    for port in guarded:
        yield f'chain in_{link(port["id"])} {{'
        yield 'ether type arp accept'
        yield 'meta l4proto ipv6-icmp accept'
        yield 'tcp flags & (syn | ack) != syn accept'
        yield 'icmp type echo-reply accept'
        for rule in rules:
            if (rule['security_group_id'] in port['security_groups'] and
                    rule['direction'] == 'ingress'):
                yield from _accept(rule, members)
        yield 'drop'
        yield '}'
    yield 'chain guests {'
    for port in guarded:
        yield f'oifname "{link(port["id"])}" jump in_{link(port["id"])}'
    yield '}'
    # Between guests of one network, and from the host or through it.
    for hook in ('forward', 'output'):
        yield (f'chain {hook} {{ type filter hook {hook} priority 0; '
               'jump guests; }')


def _accept(rule, members):
    family = 'ip6' if rule['ethertype'] == 'IPv6' else 'ip'
    words = [f'meta protocol {family}']
    if rule['remote_group_id']:
        known = [a for a in members.get(rule['remote_group_id'], ())
                 if (':' in a) == (family == 'ip6')]
        if not known:
            return
        words = [f'{family} saddr {{ {", ".join(sorted(known))} }}']
    elif rule['remote_ip_prefix']:
        words = [f'{family} saddr {rule["remote_ip_prefix"]}']
    protocol = rule['protocol']
    first, last = rule['port_range_min'], rule['port_range_max']
    if protocol in ('tcp', 'udp') and first is not None:
        words.append(f'{protocol} dport {first}-{last}')
    elif protocol:
        words.append(f'meta l4proto {protocol}')
    yield ' '.join(words + ['accept'])


def _routes(ports, routers, floating, subnets):
    """Which bridges have a router in common, and who goes by what name
    beyond it. The host is every router, and stands for the outside."""
    behind = {}
    for port in ports:
        if port['device_owner'].startswith('network:router_interface'):
            behind.setdefault(port['device_id'], set()).add(
                port['network_id'])
    bridges = {bridge(subnet['network_id']) for subnet in subnets}
    yield 'chain forward { type filter hook forward priority 0;'
    for name in sorted(bridges):
        yield f'iifname "{name}" oifname "{name}" accept'
    yield 'ct state established,related accept'
    yield 'ct status dnat accept'
    for networks in behind.values():
        near = ', '.join(sorted(f'"{bridge(one)}"' for one in networks))
        yield f'iifname {{ {near} }} oifname {{ {near} }} accept'
    if bridges:
        every = ', '.join(sorted(f'"{name}"' for name in bridges))
        yield f'iifname {{ {every} }} oifname {{ {every} }} drop'
    yield '}'
    leading = [ip for ip in floating if ip['fixed_ip_address']]
    for hook, priority in (('prerouting', -100), ('output', -100)):
        yield f'chain {hook} {{ type nat hook {hook} priority {priority};'
        for ip in leading:
            yield (f'ip daddr {ip["floating_ip_address"]} '
                   f'dnat to {ip["fixed_ip_address"]}')
        yield '}'
    yield 'chain postrouting { type nat hook postrouting priority 100;'
    homes = {ip['port_id']: ip for ip in leading}
    for port in ports:
        if port['id'] in homes:
            ip = homes[port['id']]
            yield (f'ip saddr {ip["fixed_ip_address"]} '
                   f'oifname != "{bridge(port["network_id"])}" '
                   f'snat to {ip["floating_ip_address"]}')
    for router in routers:
        gateway = router['external_gateway_info'] or {}
        for fixed in gateway.get('external_fixed_ips', ())[:1]:
            near = behind.get(router['id'], set())
            names = ', '.join(sorted(f'"{bridge(one)}"' for one in near))
            for subnet in subnets:
                if subnet['network_id'] in near and subnet['ip_version'] == 4:
                    yield (f'ip saddr {subnet["cidr"]} '
                           f'oifname != {{ {names} }} '
                           f'snat to {fixed["ip_address"]}')
    yield '}'


# --- on this host -----------------------------------------------------------

def apply(text):
    done = subprocess.run([NFT, '-f', '-'], input=text, text=True,
                          capture_output=True)
    if done.returncode:
        raise RuntimeError(f'nft: {done.stderr.strip()}\n{text}')


def outside_up(cidrs):
    """An interface with the first address of each external network: from
    there the host, or what runs on it, uses floating IPs."""
    run('link', 'add', OUTSIDE, 'type', 'bridge', check=False)
    run('link', 'set', OUTSIDE, 'up')
    for address in cidrs:
        run('address', 'replace', address, 'dev', OUTSIDE)
    FORWARD.write_text('1')


def remove():
    for family in ('bridge', 'ip'):
        subprocess.run([NFT, 'delete', 'table', family, TABLE],
                       stderr=subprocess.DEVNULL)
    run('link', 'delete', OUTSIDE, check=False)


def run(*words, check=True):
    subprocess.run(['ip', *words], check=check, capture_output=True,
                   env={**os.environ, 'PATH': '/usr/sbin:/sbin:/usr/bin'})
