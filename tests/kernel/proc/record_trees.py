"""Write the /proc trees of tests/kernel/proc/trees: `python -m tests.kernel.proc.record_trees`.

Each tree is what this kernel writes, on the host and in a private network namespace, less what nobody reads and with
those numbers set that make the tree what its name says. So the formats are the kernel's, and the numbers belong to the
tests. memory.stat of version 2 is written out below: a machine has this controller in one version only.
"""

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from fourtuple.core.limits.table import SYSCTLS
from fourtuple.kernel.netns import Namespace

TREES = Path(__file__).with_name("trees")
PROC = Path("/proc")
Files = dict[str, str]

PORTS = ("ip_local_reserved_ports", "ip_unprivileged_port_start", "tcp_tw_reuse", "tcp_tw_reuse_delay")
READ = (
    *("sys/" + name.replace(".", "/") for name in SYSCTLS),
    *(f"sys/net/ipv4/{name}" for name in (*PORTS, "ip_local_port_range", "tcp_timestamps")),
    *(f"thread-self/net/{name}" for name in ("arp", "sockstat", "snmp", "netstat", "softnet_stat")),
    *(f"thread-self/net/stat/{name}" for name in ("nf_conntrack", "arp_cache", "ndisc_cache")),
    *("meminfo", "vmstat", "loadavg", "sys/fs/file-nr", "self/status", "self/limits"),
)

# What depends on this machine's memory, or was counted on it.
SYS = {
    "fs/file-max": "1000000",
    "fs/file-nr": "2208\t0\t1000000",
    "fs/nr_open": "1048576",
    "fs/epoll/max_user_watches": "3589324",
    "kernel/threads-max": "126000",
    "kernel/pid_max": "4194304",
    "net/ipv4/tcp_mem": "188190\t250923\t376380",
    "net/ipv4/tcp_ehash_entries": "131072",
    "net/ipv4/tcp_max_tw_buckets": "65536",
    "net/ipv4/tcp_max_orphans": "65536",
    "net/ipv4/ip_local_port_range": "32768\t60999",
    "net/ipv4/ip_local_reserved_ports": "",
    "net/ipv4/neigh/default/gc_thresh3": "1024",
    "net/netfilter/nf_conntrack_max": "262144",
    "net/netfilter/nf_conntrack_count": "417",
}
SOCKSTAT = "TCP: inuse 31 orphan 17 tw 119 alloc 53 mem 211"
LOADAVG = "0.42 0.31 0.27 2/391 41211\n"
MEMINFO_KIB = {"MemTotal": 16_000_000, "MemFree": 9_000_000, "Cached": 3_000_000, "Shmem": 500_000}
COUNTERS = {"TcpExt": {"ListenOverflows": 23, "ListenDrops": 29}, "IpExt": {}, "MPTcpExt": {}}
# Of two CPUs each.
DROPS = {
    "stat/nf_conntrack": {"drop": (0x1F, 1), "early_drop": (2, 0), "insert_failed": (0, 3)},
    "stat/arp_cache": {"table_fulls": (0x17, 0x10)},
    "stat/ndisc_cache": {"table_fulls": (0, 5)},
    "softnet_stat": {"1": (0x29, 0)},  # a table without names
}
ARP = "".join(
    f"192.0.2.{number:<8} 0x1         0x2         02:00:00:00:00:{number:02x}     *        eth0\n"
    for number in (1, 7, 9)
)

HOST_IDS, CONTAINER_IDS = (0, 0, 4_294_967_295), (0, 100_000, 65_536)
NO_CAPABILITIES, ALL_CAPABILITIES, DOCKER_CAPABILITIES = 0, 0x1FFFFFFFFFF, 0xA80425FB
VERSION_1 = ("name=systemd", "pids", "blkio", "memory", "cpu,cpuacct", "")
NO_LIMIT_1 = "9223372036854771712\n"  # PAGE_COUNTER_MAX, as version 1 writes it


def recorded() -> Files:
    """What is read of /proc here; a sysctl that is not there is left out."""
    return {name: (PROC / name).read_text() for name in READ if (PROC / name).exists()}


def with_lines(text: str, lines: Mapping[str, str]) -> str:
    """Lines are found by their first word, which ends with a colon."""
    for name, line in lines.items():
        text, count = re.subn(rf"^{re.escape(name)}:.*$", line.replace("\\", r"\\"), text, flags=re.MULTILINE)
        assert count == 1, f"{name} in {text}"
    return text


def with_counters(text: str, sections: Mapping[str, Mapping[str, int]]) -> str:
    """All counters 0, but these and the last of each section, which is 417: a line that is cut short shows."""
    lines = []
    for names, values in zip(text.splitlines()[::2], text.splitlines()[1::2], strict=True):
        section, *columns = names.split()
        known = {columns[-1]: 417, **sections.get(section.rstrip(":"), {})}
        lines += [names, " ".join([section, *(str(known.get(column, 0)) for column in columns)])]
        assert values.startswith(section)
    return "\n".join(lines) + "\n"


def with_columns(text: str, columns: Mapping[str, tuple[int, int]], *, names: bool) -> str:
    """A table with a line for each CPU, in hexadecimal: two CPUs, and all 0 but these columns."""
    heading, *rows = text.splitlines() if names else ("", *text.splitlines())
    words, lines = heading.split() or [str(column) for column in range(99)], [heading] * names
    shape = re.sub(r"[0-9a-f]{8}", "{:08x}", rows[0])
    for cpu in range(2):
        lines.append(shape.format(*(columns.get(word, (0, 0))[cpu] for word in words)))
    return "\n".join(lines) + "\n"


def process(
    here: Files,
    pid: int,
    *,
    name: str,
    uid: int,
    threads: int,
    cgroup: str,
    folder: str = "",
    capabilities: int = NO_CAPABILITIES,
    files: tuple[int, int] = (1024, 524_288),
    descriptors: tuple[int, ...] = (0, 1, 2, 3, 4, 17),
    ids: tuple[int, int, int] = HOST_IDS,
) -> Files:
    status = {
        "Name": name,
        **dict.fromkeys(("Tgid", "Pid", "NStgid", "NSpid", "NSpgid", "NSsid"), str(pid)),
        "PPid": "1",
        **dict.fromkeys(("Uid", "Gid"), "\t".join([str(uid)] * 4)),
        "FDSize": "2048",
        "Groups": " ",
        "Threads": str(threads),
        **dict.fromkeys(("CapPrm", "CapEff"), f"{capabilities:016x}"),
    }
    limits = {"Max open files": (*files, "files"), "Max processes": (62_900, 62_900, "processes")}
    text = here["self/limits"]
    for row, (soft, hard, unit) in limits.items():
        text = re.sub(rf"^{row} .*$", f"{row:<25} {soft!s:<20} {hard!s:<20} {unit:<10}", text, flags=re.MULTILINE)
    at = f"proc/{folder or pid}"
    return {
        f"{at}/status": with_lines(here["self/status"], {key: f"{key}:\t{value}" for key, value in status.items()}),
        f"{at}/limits": text,
        f"{at}/cgroup": cgroup,
        f"{at}/uid_map": "".join(f"{number:>10} " for number in ids).rstrip() + "\n",
        **{f"{at}/fd/{number}": "" for number in descriptors},
    }


def machine(here: Files) -> Files:
    """All but the processes."""
    files = {f"proc/{name}": text for name, text in here.items() if not name.startswith("self/")}
    for name, value in SYS.items():
        files[f"proc/sys/{name}"] = f"{value}\n"
    memory = {key: f"{key + ':':<16}{kib:>8} kB" for key, kib in MEMINFO_KIB.items()}
    files["proc/meminfo"] = with_lines(here["meminfo"], memory)
    files["proc/loadavg"] = LOADAVG
    net = "proc/thread-self/net"
    files[f"{net}/arp"] = here["thread-self/net/arp"].splitlines(keepends=True)[0] + ARP
    files[f"{net}/sockstat"] = with_lines(here["thread-self/net/sockstat"], {"TCP": SOCKSTAT})
    files[f"{net}/netstat"] = with_counters(here["thread-self/net/netstat"], COUNTERS)
    files[f"{net}/snmp"] = with_counters(here["thread-self/net/snmp"], {"Tcp": {"ActiveOpens": 31, "CurrEstab": 37}})
    for name, columns in DROPS.items():
        text = here[f"thread-self/net/{name}"]
        files[f"{net}/{name}"] = with_columns(text, columns, names=name.startswith("stat/"))
    vmstat = (line.split()[0] for line in here["vmstat"].splitlines())
    files["proc/vmstat"] = "".join(f"{name} {3 if name == 'oom_kill' else 0}\n" for name in vmstat)
    return files


def group(folder: str, **values: str) -> Files:
    """A cgroup: `memory_max` is the file memory.max."""
    return {f"cgroup/{folder}/{name.replace('_', '.', 1)}".replace("//", "/"): text for name, text in values.items()}


def memory_stat_2(inactive_file: int, active_file: int) -> str:
    """The first half of what Linux 6.18 writes (mm/memcontrol.c, memory_stats)."""
    names = [
        "anon",
        "file",
        "kernel",
        "kernel_stack",
        "pagetables",
        "sec_pagetables",
        "percpu",
        "sock",
        "vmalloc",
        "shmem",
        "zswap",
        "zswapped",
        "file_mapped",
        "file_dirty",
        "file_writeback",
        "swapcached",
        "anon_thp",
        "file_thp",
        "shmem_thp",
        "inactive_anon",
        "active_anon",
        "inactive_file",
        "active_file",
        "unevictable",
        "slab_reclaimable",
        "slab_unreclaimable",
        "slab",
    ]
    known = {"inactive_file": inactive_file, "active_file": active_file, "slab": 4_161_536}
    return "".join(f"{name} {known.get(name, 0)}\n" for name in names)


def memory_stat_1(inactive_file: int, active_file: int) -> str:
    """As recorded on Linux 6.18; `total_` is with the cgroups below, which is what the limit counts."""
    names = [
        "cache",
        "rss",
        "rss_huge",
        "shmem",
        "mapped_file",
        "dirty",
        "writeback",
        "workingset_refault_anon",
        "workingset_refault_file",
        "swap",
        "swapcached",
        "pgpgin",
        "pgpgout",
        "pgfault",
        "pgmajfault",
        "inactive_anon",
        "active_anon",
        "inactive_file",
        "active_file",
        "unevictable",
    ]
    own = {"inactive_file": 4096, "active_file": 8192, "unevictable": 12_406_784}
    total = {"inactive_file": inactive_file, "active_file": active_file, "unevictable": 12_406_784}
    limits = f"hierarchical_memory_limit {NO_LIMIT_1}hierarchical_memsw_limit {NO_LIMIT_1}"
    return (
        "".join(f"{name} {own.get(name, 0)}\n" for name in names)
        + limits
        + "".join(f"total_{name} {total.get(name, 0)}\n" for name in names)
    )


APP = "user.slice/user-1000.slice/app.scope"


def host(here: Files) -> Files:
    """As systemd leaves it: a program of a user's; pids.max of the user is the only limit of its cgroups."""
    return (
        machine(here)
        | process(
            here,
            4121,
            name="app",
            uid=1000,
            threads=3,
            cgroup=f"0::/{APP}\n",
            descriptors=(0, 1, 2, 3, 4, 17, 1024, 1030),
        )
        | group(APP, pids_max="max\n", pids_current="9\n", memory_max="max\n", memory_current="52428800\n")
        | group(str(Path(APP).parent), pids_max="20757\n", pids_current="57\n")
        | group(str(Path(APP).parent), memory_max="max\n", memory_current="104857600\n")
    )


def default_host(here: Files) -> Files:
    """And another two programs of the same user's, of which one is the reader, and a service of root's."""
    cgroup, service = f"0::/{APP}\n", "system.slice/service.service"
    other = process(here, 4122, name="other", uid=1000, threads=5, cgroup=cgroup)
    return (
        host(here)
        | process(here, 4200, name="self", uid=1000, threads=1, cgroup=cgroup, folder="self")
        | {"proc/4122/status": other["proc/4122/status"]}
        | process(here, 900, name="service", uid=0, threads=1, cgroup=f"0::/{service}\n", capabilities=ALL_CAPABILITIES)
        | group(service, pids_max="9434\n", pids_current="1\n")
    )


def container(here: Files, child: Files) -> Files:
    """A network, user and cgroup namespace of its own: sysctls of the host are not to be seen."""
    hidden = {f"proc/{name}" for name in READ} - {f"proc/{name}" for name in child}
    net = {f"proc/{name}": text for name, text in child.items() if "/ip_" in name or "ehash" in name}
    files = {name: text for name, text in machine(here).items() if name not in hidden} | net
    files["proc/sys/net/netfilter/nf_conntrack_count"] = "0\n"
    files["proc/sys/net/ipv4/ip_unprivileged_port_start"] = "0\n"
    files["proc/sys/net/ipv4/tcp_ehash_entries"] = "-131072\n"  # the host's
    files["proc/thread-self/net/arp"] = files["proc/thread-self/net/arp"].splitlines(keepends=True)[0]
    return (
        files
        | process(
            here,
            1,
            name="app",
            uid=0,
            threads=3,
            cgroup="0::/\n",
            capabilities=DOCKER_CAPABILITIES,
            files=(1_048_576, 1_048_576),
            ids=CONTAINER_IDS,
        )
        | group("", memory_max="536870912\n", memory_current="104857600\n", pids_max="512\n", pids_current="12\n")
        | group("", memory_stat=memory_stat_2(20_971_520, 10_485_760))
    )


def odd_range(here: Files) -> Files:
    names = {"ip_local_port_range": "40000\t40010", "ip_local_reserved_ports": "40003,40005-40007"}
    return host(here) | {f"proc/sys/net/ipv4/{name}": f"{value}\n" for name, value in names.items()}


def no_ipv6(here: Files) -> Files:
    """A kernel without IPv6 and MPTCP: no table of its neighbours, and the last two lines of netstat are not there."""
    files = host(here)
    del files["proc/thread-self/net/stat/ndisc_cache"]
    netstat = files["proc/thread-self/net/netstat"].splitlines(keepends=True)
    files["proc/thread-self/net/netstat"] = "".join(line for line in netstat if not line.startswith("MPTcpExt"))
    return files


def no_conntrack(here: Files) -> Files:
    return {name: text for name, text in host(here).items() if "conntrack" not in name}


def cgroup_v1(here: Files) -> Files:
    """Docker on a host of version 1, seen from the host: the container has a limit, its parents none."""
    path = "/docker/0a1b"
    lines = [f"{len(VERSION_1) - 1 - row}:{name}:{path}\n" for row, name in enumerate(VERSION_1)]
    usage, limit = "memory_usage_in_bytes", "memory_limit_in_bytes"
    files = machine(here) | process(here, 4121, name="app", uid=1000, threads=3, cgroup="".join(lines))
    files |= group("memory", **{limit: NO_LIMIT_1, usage: "8589934592\n"})
    files |= group("memory/docker", **{limit: NO_LIMIT_1, usage: "1073741824\n"})
    files |= group("memory/docker/0a1b", **{limit: "268435456\n", usage: "201326592\n"})
    files |= group("memory/docker/0a1b", memory_stat=memory_stat_1(31_457_280, 12_582_912))
    return files | group("pids/docker/0a1b", pids_max="100\n", pids_current="41\n")


def cgroup_v2(here: Files) -> Files:
    """Limits at three levels: the tightest memory is the slice's, the tightest pids the service's."""
    path = "app.slice/app-web.slice/web.service"
    files = machine(here) | process(here, 4121, name="app", uid=1000, threads=3, cgroup=f"0::/{path}\n")
    levels = (
        ("app.slice", "8589934592", "3221225472", "max", "300"),
        ("app.slice/app-web.slice", "2147483648", "2013265920", "4000", "210"),
        (path, "1073741824", "419430400", "256", "131"),
    )
    for folder, limit, used, pids, pids_used in levels:
        files |= group(folder, memory_max=f"{limit}\n", memory_current=f"{used}\n")
        files |= group(folder, memory_stat=memory_stat_2(41_943_040, 20_971_520))
        files |= group(folder, pids_max=f"{pids}\n", pids_current=f"{pids_used}\n")
    return files


def tuned_wrongly(here: Files) -> Files:
    """What circulates as advice for many connections, on the kernels that still had tcp_tw_recycle and later ones."""
    settings = {
        "net/ipv4/tcp_tw_recycle": "1",
        "net/ipv4/tcp_mem": "786432000\t1048576000\t1572864000",
        "net/ipv4/tcp_max_tw_buckets": "5000",
        "net/ipv4/ip_local_port_range": "1024\t65535",
        "fs/nr_open": "60000",
    }
    return host(here) | {f"proc/sys/{name}": f"{value}\n" for name, value in settings.items()}


def write(name: str, files: Files) -> None:
    shutil.rmtree(TREES / name, ignore_errors=True)
    for file, text in files.items():
        path = TREES / name / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def record() -> None:
    here = recorded()
    with Namespace() as namespace:
        inside = namespace.command([sys.executable, "-m", "tests.kernel.proc.record_trees", "inside"])
        child: Files = json.loads(subprocess.run(inside, check=True, capture_output=True).stdout)
    write("default-host", default_host(here))
    write("container", container(here, child))
    write("odd-range", odd_range(here))
    write("no-ipv6", no_ipv6(here))
    write("no-conntrack", no_conntrack(here))
    write("cgroup-v1", cgroup_v1(here))
    write("cgroup-v2", cgroup_v2(here))
    write("tuned-wrongly", tuned_wrongly(here))


if __name__ == "__main__":
    if sys.argv[1:] == ["inside"]:
        print(json.dumps(recorded()))
    else:
        record()
