"""What helper containers do in the volumes besides the bot's database: the data are another user's.

A script gets its numbers as arguments, and says in one line on standard error why it cannot.
"""

from compose.lifecycle.archives import RESERVE

ROOM = """
import os, shutil, sys
def room(folder, size, free=None):
    free = shutil.disk_usage(folder).free if free is None else free
    if free < size + RESERVE:
        sys.exit(f'expected {size + RESERVE >> 20} MB free for a copy, got {free >> 20} MB:'
                 ' give some back, see docs/runbooks/disk-full.md')
""".replace("RESERVE", str(RESERVE))
"""Asked before anything is copied: a disk that a backup fills is full for what is live, too."""
COPY_REDIS = (
    ROOM
    + """
import time
os.chdir('/data')
free = int(sys.argv[1])
for _ in range(50):
    try:
        with open('appendonlydir/appendonly.aof.manifest') as file:
            lines = [line.split() for line in file if line.strip()]
        entries = [dict(zip(line[::2], line[1::2])) for line in lines]
        names = [entry['file'] for entry in entries if entry['type'] != 'h']
        parts = [open('appendonlydir/' + name, 'rb') for name in names]
        break
    except FileNotFoundError: time.sleep(0.1)  # rewritten meanwhile: what is open stays as it is
else: sys.exit()
sizes = [os.fstat(part.fileno()).st_size for part in parts]  # it may be written faster than read
room('', 2 * sum(sizes), free)
for part, left in zip(parts, sizes):
    while left and (chunk := part.read(min(left, 1 << 20))):
        left -= len(chunk)
        sys.stdout.buffer.write(chunk)
"""
)
PUT_REDIS = """
cd /data
rm -rf .restored .former && mkdir .restored
base=appendonly.aof.1.base.rdb
free=$(df -Pk . | awk 'NR == 2 { print $4 }')
[ "$free" -ge "$((($1 + RESERVE) / 1024))" ] || { echo "expected room for $1 bytes" >&2; exit 1; }
cat > ".restored/$base"
if [ "$(wc -c < ".restored/$base")" -ne "$1" ]; then
    rm -rf .restored
    echo "expected $1 bytes, but they were cut off; what was there stays" >&2
    exit 1
fi
# appendonly is on: Redis then reads its data from there and from nowhere else
echo "file $base seq 1 type b" > .restored/appendonly.aof.manifest
sync
[ ! -d appendonlydir ] || mv appendonlydir .former
mv .restored appendonlydir
rm -rf .former
sync
""".replace("RESERVE", str(RESERVE))
"""By Redis's own image and `sh`: Docker gives a new volume the owner that its first image has."""
CLEAR = """
import glob, os, shutil
for path in glob.glob('/data/.restored*') + glob.glob('/data/.snapshot*'):
    shutil.rmtree(path) if os.path.isdir(path) else os.remove(path)
if os.path.isdir('/data/.former') and not os.path.isdir('/data/appendonlydir'):
    os.rename('/data/.former', '/data/appendonlydir')
shutil.rmtree('/data/.former', ignore_errors=True)
"""
