#!/usr/bin/env bash
# Runs a command with a two-node Slurm of this machine, as root, on the loopback address alone; ends it afterwards:
#   two_nodes.sh <command …>
# Needs Slurm and munge, for instance from Debian: apt-get install --no-install-recommends slurm-wlm munge
set -euo pipefail
for command in munged slurmctld slurmd sbatch; do
  if ! command -v "$command" > /dev/null; then
    echo "test-slurm: $command is missing. Fix: apt-get install --no-install-recommends slurm-wlm munge" >&2
    exit 2
  fi
done
if [ "$(id -u)" != 0 ]; then echo "test-slurm: starting Slurm's daemons needs root. Fix: run it as root" >&2; exit 2; fi
root=$(mktemp -d) host=$(hostname -s) gpus=2
chmod 755 "$root"
mkdir -p "$root"/{state,log,run,spool.node1,spool.node2}
chmod 755 "$root/run"

stop() {
  scancel --state=PENDING,RUNNING --me 2> /dev/null || true
  for _ in $(seq 30); do if [ -z "$(squeue --noheader 2> /dev/null)" ]; then break; fi; sleep 1; done
  for name in slurmd.node1 slurmd.node2 slurmctld munged; do
    if [ -f "$root/run/$name.pid" ]; then kill "$(cat "$root/run/$name.pid")" 2> /dev/null || true; fi
  done
  sed -i '/ node1 node2 # two_nodes.sh$/d' /etc/hosts 2> /dev/null \
    || { grep -v ' node1 node2 # two_nodes.sh$' /etc/hosts > "$root/hosts"; cat "$root/hosts" > /etc/hosts; }
  sleep 2 # the controller saves its state last
  rm -rf "$root"
}
trap stop EXIT

getent hosts node1 node2 > /dev/null || echo "127.0.0.1 node1 node2 # two_nodes.sh" >> /etc/hosts # ranks meet at node1
head -c 1024 /dev/urandom > "$root/munge.key"
chmod 600 "$root/munge.key"
for gpu in $(seq 0 $((gpus - 1))); do : > "$root/run/gpu$gpu"; done # Slurm wants a file for each GPU; any will do
echo "NodeName=node[1-2] Name=gpu File=$root/run/gpu[0-$((gpus - 1))]" > "$root/gres.conf"
echo "CgroupAutomount=no" > "$root/cgroup.conf"
# A requeued job may start again when the credential of its first start has expired: soon.
cat > "$root/slurm.conf" << CONFIGURATION
ClusterName=lab
SlurmctldHost=$host(127.0.0.1)
SlurmctldPort=26817
CommunicationParameters=NoCtldInAddrAny,NoInAddrAny
AuthType=auth/munge
AuthInfo=socket=$root/run/munge.socket,cred_expire=10
SlurmUser=root
SlurmdUser=root
StateSaveLocation=$root/state
SlurmdSpoolDir=$root/spool.%n
SlurmctldPidFile=$root/run/slurmctld.pid
SlurmdPidFile=$root/run/slurmd.%n.pid
SlurmctldLogFile=$root/log/slurmctld.log
SlurmdLogFile=$root/log/slurmd.%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
MpiDefault=none
ReturnToService=2
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SlurmdParameters=config_overrides
SchedulerParameters=sched_interval=2,bf_interval=5,batch_sched_delay=1
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
GresTypes=gpu
NodeName=node[1-2] NodeHostname=$host NodeAddr=127.0.0.1 Port=[27001-27002] CPUs=4 RealMemory=8000 Gres=gpu:$gpus State=UNKNOWN
PartitionName=cpu Nodes=node[1-2] Default=YES MaxTime=INFINITE State=UP PriorityTier=1 GraceTime=30
PartitionName=high Nodes=node[1-2] MaxTime=INFINITE State=UP PriorityTier=10 PreemptMode=OFF
PartitionName=short Nodes=node[1-2] MaxTime=5 State=UP PriorityTier=1
CONFIGURATION
export SLURM_CONF=$root/slurm.conf HARE_TEST_SLURM=1
munged --force --socket="$root/run/munge.socket" --key-file="$root/munge.key" --pid-file="$root/run/munged.pid" \
  --log-file="$root/log/munged.log" --seed-file="$root/run/munged.seed"
slurmctld -f "$SLURM_CONF"
for node in node1 node2; do slurmd -f "$SLURM_CONF" -N "$node"; done
for _ in $(seq 30); do
  if [ "$(sinfo --noheader --partition=cpu --format=%T)" = idle ]; then break; fi
  sleep 1
done
sinfo
"$@"
