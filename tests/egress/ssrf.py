"""Spellings by which a guest may try to reach what it was not granted (threats.md)."""

from __future__ import annotations

# Each is requested under a grant of `api.example.com`, `*.tenant.example`, port 8443.
REFUSED = [
    # the loopback address, in every spelling a resolver takes
    "http://127.0.0.1/", "http://127.1/", "http://127.0.1/", "http://2130706433/",
    "http://0x7f000001/", "http://0x7f.1/", "http://0177.0.0.1/", "http://017700000001/",
    "http://0x7f.0x0.0x0.0x1/", "http://127.0.0.1./", "http://0/", "http://0.0.0.0/",
    "http://127.127.127.127/", "http://localhost/", "http://localhost./", "http://LOCALHOST/",
    "http://[::1]/", "http://[0:0:0:0:0:0:0:1]/", "http://[::]/", "http://[::ffff:127.0.0.1]/",
    "http://[::ffff:7f00:1]/", "http://[::127.0.0.1]/", "http://[::ffff:0:127.0.0.1]/",
    # cloud metadata and private networks
    "http://169.254.169.254/latest/meta-data/", "http://2852039166/", "http://0xa9fea9fe/",
    "http://0251.0376.0251.0376/", "http://[fd00:ec2::254]/", "http://[fe80::1]/",
    "http://100.100.100.200/", "http://168.63.129.16/", "http://192.0.0.192/",
    "http://10.0.0.1/", "http://172.16.0.1/", "http://192.168.1.1/", "http://100.64.0.1/",
    "http://metadata.google.internal/", "http://224.0.0.1/", "http://255.255.255.255/",
    # addresses inside addresses
    "http://[64:ff9b::7f00:1]/", "http://[64:ff9b::a9fe:a9fe]/", "http://[64:ff9b:1::7f00:1]/",
    "http://[2002:7f00:1::]/", "http://[2002:a9fe:a9fe::1]/", "http://[2001:0:7f00:1::]/",
    "http://[2001:0:4136:e378:8000:63bf:80ff:fffe]/", "http://[2606:4700::5efe:7f00:1]/",
    # zone ids
    "http://[fe80::1%25eth0]/", "http://[fe80::1%eth0]/", "http://[::1%25lo]/",
    # the granted name somewhere else than in the host
    "https://api.example.com@evil.example/", "https://api.example.com:pw@evil.example/",
    "https://evil.example\\@api.example.com/", "https://evil.example%40api.example.com/",
    "https://evil.example#@api.example.com/", "https://evil.example?@api.example.com/",
    "https://evil.example/@api.example.com", "https://api.example.com.evil.example/",
    "https://evilapi.example.com/", "https://api.example.com\\.evil.example/",
    "https://api.example.com%2eevil.example/", "https://api.example.com%00.evil.example/",
    "https://api.example.com\x00.evil.example/", "https://api.example.com\t.evil.example/",
    "https://api.example.com\r\nHost: evil.example/", "https://api.example.com .evil.example/",
    "https://api.example.com,evil.example/", "https:api.example.com/", "https:/api.example.com/",
    "https:///api.example.com/", "\\\\api.example.com/", "//api.example.com/",
    "https://[api.example.com]/", "https://api..example.com/", "https://.api.example.com/",
    "https://api.example.com../", "https://*.example.com/",
    # other alphabets and dots
    "https://api。example。com/", "https://api．example．com/", "https://аpi.example.com/",
    "https://api.example.com\u200b/", "https://ⓐpi.example.com/", "https://api.examp\u00adle.com/",
    "http://①②⑦.0.0.1/", "http://١٢٧.0.0.1/", "http://%31%32%37.0.0.1/",
    # wildcards by label
    "https://tenant.example/", "https://evil-tenant.example/", "https://a.b.tenant.example/",
    "https://x.tenant.example.evil.example/",
    # ports and schemes
    "https://api.example.com:22/", "http://api.example.com:443/", "https://api.example.com:80/",
    "https://api.example.com:0/", "https://api.example.com:65536/", "https://api.example.com:4e1/",
    "https://api.example.com:+443/", "ftp://api.example.com/", "file://api.example.com/etc/passwd",
    "gopher://api.example.com/", "ws://api.example.com/", "jar:https://api.example.com/",
    "data:text/plain,x", "unix:///var/run/docker.sock", "https+unix://api.example.com/",
]  # fmt: skip
