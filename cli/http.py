"""HTTP to this machine's own API: straight there, whatever proxy the environment names."""

import urllib.request

opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
