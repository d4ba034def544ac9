"""Which files of a host name the ports of which programs, and how: one row for each program.

Only the files of a program count, which are there because it is installed. /etc/services counts for nothing: it lists
some 300 names on every host, whatever runs there.
"""

import re
from collections.abc import Iterable, Iterator

from fourtuple.core.late import late_pattern
from fourtuple.core.plan.units import ALL_PORTS, argument_ports, ports_in
from fourtuple.core.record import dataclass


@dataclass(frozen=True, slots=True)
class ProgramFiles:
    """How a program's files name its ports.

    files:  patterns of paths, below the root
    says:   a regular expression whose groups are ports, ranges or HOST:PORT; empty: as arguments of a command line
    usual:  the ports that it has where its files name none
    """

    program: str
    files: tuple[str, ...]
    says: str = ""
    usual: tuple[int, ...] = ()


PROGRAM_FILES: tuple[ProgramFiles, ...] = (
    ProgramFiles(
        "sshd",
        ("etc/ssh/sshd_config", "etc/ssh/sshd_config.d/*.conf"),
        r"^\s*port\s+(\d+)|^\s*listenaddress\s+(\S+:\d+)",
    ),
    ProgramFiles(
        "nginx",
        ("etc/nginx/*.conf", "etc/nginx/*/*", "usr/local/nginx/conf/*.conf"),
        r"(?<![\w-])listen\s+(?!unix:)([^\s;]+)",
    ),
    ProgramFiles(
        "Apache",
        ("etc/apache2/*.conf", "etc/apache2/*/*.conf", "etc/httpd/conf/*.conf", "etc/httpd/conf.d/*.conf"),
        r"^\s*listen\s+(\S+)",
    ),
    ProgramFiles("HAProxy", ("etc/haproxy/*.cfg", "etc/haproxy/*/*.cfg"), r"^\s*bind\s+([^\s#]+)"),
    ProgramFiles("Caddy", ("etc/caddy/Caddyfile",), r"^\s*(?:https?://)?([\w.*\[\]-]*:\d+)(?:[\s,]|$)"),
    ProgramFiles(
        "Envoy, Traefik",
        ("etc/envoy/*.yaml", "etc/traefik/*.y*ml", "etc/traefik/*.toml"),
        r"(?:port_value|address)\W+(\S+)",
    ),
    ProgramFiles("Squid", ("etc/squid/squid.conf", "etc/squid/conf.d/*.conf"), r"^\s*https?_port\s+(\S+)", (3128,)),
    ProgramFiles("Varnish", ("etc/default/varnish", "etc/varnish/varnish.params")),
    ProgramFiles(
        "PostgreSQL",
        (
            "etc/postgresql/*/*/postgresql.conf",
            "var/lib/pgsql/data/postgresql.conf",
            "var/lib/pgsql/*/data/postgresql.conf",
        ),
        r"^\s*port\s*[ =]\s*'?(\d+)",
        (5432,),
    ),
    ProgramFiles("PgBouncer", ("etc/pgbouncer/pgbouncer.ini",), r"^\s*listen_port\s*=\s*(\d+)", (6432,)),
    ProgramFiles(
        "MySQL, MariaDB",
        ("etc/my.cnf", "etc/my.cnf.d/*.cnf", "etc/mysql/*.cnf", "etc/mysql/*/*.cnf"),
        r"^\s*(?:port|admin[-_]port|extra[-_]port|mysqlx[-_]port)\s*=\s*(\d+)",
        (3306,),
    ),
    ProgramFiles(
        "Redis, Valkey",
        ("etc/redis/*.conf", "etc/redis.conf", "etc/redis-sentinel.conf", "etc/valkey/*.conf", "etc/keydb/*.conf"),
        r"^\s*(?:port|tls-port|cluster-port)\s+(\d+)",
        (6379,),
    ),
    ProgramFiles(
        "memcached", ("etc/memcached*.conf", "etc/sysconfig/memcached"), r"^-p\s*(\d+)|^PORT=\"?(\d+)", (11211,)
    ),
    ProgramFiles("MongoDB", ("etc/mongod.conf", "etc/mongos.conf"), r"^\s*port\s*[:=]\s*(\d+)", (27017,)),
    ProgramFiles(
        "Elasticsearch, OpenSearch",
        ("etc/elasticsearch/elasticsearch.yml", "etc/opensearch/opensearch.yml"),
        r"^\s*(?:http|transport)\.(?:tcp\.)?port\s*:\s*(\S+)",
        (9200, 9300),
    ),
    ProgramFiles("Cassandra", ("etc/cassandra/cassandra.yaml",), r"^\s*\w*port\w*\s*:\s*(\d+)", (7000, 9042)),
    ProgramFiles(
        "Kafka, ZooKeeper",
        (
            "etc/kafka/*.properties",
            "opt/kafka/config/*.properties",
            "etc/zookeeper/conf/zoo.cfg",
            "etc/zookeeper/zoo.cfg",
        ),
        r"^\s*(?:listeners|clientPort|controller\.listener\S*|metricsProvider\.httpPort)\s*=\s*(\S+)",
    ),
    ProgramFiles(
        "RabbitMQ",
        ("etc/rabbitmq/*.conf", "etc/rabbitmq/conf.d/*.conf"),
        r"^\s*(?:listeners|management|stomp|mqtt|prometheus)\.\S+\s*=\s*(\S+)",
        (4369, 5672, 25672),
    ),
    ProgramFiles("RabbitMQ", ("etc/rabbitmq/rabbitmq-env.conf",), r"^\s*(?:RABBITMQ_)?(?:NODE|DIST)_PORT=(\d+)"),
    ProgramFiles(
        "Mosquitto",
        ("etc/mosquitto/mosquitto.conf", "etc/mosquitto/conf.d/*.conf"),
        r"^\s*(?:listener|port)\s+(\d+)",
        (1883,),
    ),
    ProgramFiles("NATS", ("etc/nats-server.conf", "etc/nats/*.conf"), r"^\s*(?:port|http|https|listen)\s*[:=]\s*(\S+)"),
    ProgramFiles(
        "etcd, Consul, Vault",
        ("etc/etcd/*", "etc/consul.d/*", "etc/vault.d/*"),
        r"(?:url|listen|address|port)s?\S*?\W+(\S+)",
    ),
    ProgramFiles(
        "Tomcat",
        ("etc/tomcat*/server.xml", "opt/tomcat*/conf/server.xml"),
        r"<(?:Connector|Server)\b[^>]*?\bport=\"(\d+)\"",
    ),
    ProgramFiles("php-fpm", ("etc/php/*/fpm/pool.d/*.conf", "etc/php-fpm.d/*.conf"), r"^\s*listen\s*=\s*([^/\s]\S*)"),
    ProgramFiles(
        "uWSGI, Gunicorn", ("etc/uwsgi/*/*", "etc/gunicorn*"), r"^\s*(?:http|https|socket|bind)\w*\s*=\s*(\S+)"
    ),
    ProgramFiles("Grafana", ("etc/grafana/grafana.ini",), r"^\s*http_port\s*=\s*(\d+)", (3000,)),
    ProgramFiles("InfluxDB", ("etc/influxdb/influxdb.conf",), r"^\s*bind-address\s*=\s*\"?(\S+?)\"?\s*$", (8086, 8088)),
    ProgramFiles("Zabbix", ("etc/zabbix/*.conf",), r"^\s*ListenPort\s*=\s*(\d+)", (10050,)),
    ProgramFiles("Jenkins", ("etc/default/jenkins", "etc/sysconfig/jenkins"), usual=(8080,)),
    ProgramFiles("Dovecot", ("etc/dovecot/*.conf", "etc/dovecot/conf.d/*.conf"), r"^\s*port\s*=\s*(\d+)"),
    ProgramFiles("WireGuard", ("etc/wireguard/*.conf", "etc/systemd/network/*.netdev"), r"^\s*ListenPort\s*=\s*(\d+)"),
    ProgramFiles("OpenVPN", ("etc/openvpn/*.conf", "etc/openvpn/server/*.conf"), r"^\s*l?port\s+(\d+)", (1194,)),
    ProgramFiles("TURN", ("etc/turnserver.conf",), r"^\s*(?:tls-)?listening-port\s*=\s*(\d+)", (3478, 5349)),
    ProgramFiles("NFS", ("etc/nfs.conf", "etc/nfs.conf.d/*.conf"), r"^\s*(?:udp-)?port\s*=\s*(\d+)", (2049,)),
    ProgramFiles("xinetd", ("etc/xinetd.conf", "etc/xinetd.d/*"), r"^\s*port\s*=\s*(\d+)"),
    ProgramFiles("Docker", ("etc/docker/daemon.json",), r"\"tcp://([^\"]+)\""),
    ProgramFiles(
        "Podman", ("etc/containers/systemd/*.container", "etc/containers/systemd/*.pod"), r"^\s*PublishPort\s*=\s*(\S+)"
    ),
    ProgramFiles(
        "supervisord",
        ("etc/supervisor/*.conf", "etc/supervisor/conf.d/*.conf", "etc/supervisord.d/*"),
        r"^\s*(?:port|command)\s*=\s*(.*)",
    ),
    ProgramFiles("arguments", ("etc/default/*", "etc/sysconfig/*", "etc/conf.d/*")),
)

NODE_PORTS = range(30000, 32768)  # Kubernetes' --service-node-port-range, and where Docker Swarm publishes ports
KUBELET_PORTS = (10248, 10250, 10256)  # kubelet, and health checks of kube-proxy (Kubernetes, Ports and Protocols)
_NODE_PORTS = late_pattern(r"service-node-port-range[=:\s\"']+(\d{1,5})\s*([-+])\s*(\d{1,5})")


def named_ports(row: ProgramFiles, text: str) -> Iterator[range]:
    """The ports that a file of the program names."""
    text = _without_comments(text)
    if not row.says:
        yield from argument_ports(text.split())
        return
    for match in re.finditer(row.says, text, re.MULTILINE | re.IGNORECASE):
        for value in filter(None, match.groups()):
            yield from ports_in(value.strip("\"'"))


def _without_comments(text: str) -> str:
    """The lines that say something, without the spaces around them."""
    lines = map(str.strip, text.splitlines())
    return "\n".join(line for line in lines if line and not line.startswith(("#", ";", "//", "!")))


def node_ports(texts: Iterable[str]) -> range:
    """Kubernetes' range of NodePorts, from command lines or configurations of the API server; else the usual one."""
    for text in texts:
        if match := _NODE_PORTS.search(text.replace("\0", " ")):
            first, sign, second = int(match[1]), match[2], int(match[3])
            last = (
                first + second if sign == "+" else second
            )  # `30000+100` is 30000-30100 (k8s.io/apimachinery, PortRange)
            if first in ALL_PORTS and last in ALL_PORTS and first <= last:
                return range(first, last + 1)
    return NODE_PORTS
