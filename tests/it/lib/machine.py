"""A machine that has as much memory as the test says: the files of /proc and /sys that perfd looks at, in a folder. No
memory is used up."""
import os
import shutil
import tempfile

MB = 1 << 20


class Machine:
    def __init__(self, total_mb=1000, second_ms=20):
        self.root = tempfile.mkdtemp(prefix="perfd-machine.", dir="/tmp")
        self.total_mb = total_mb
        self.env = {"PERFD_SYSTEM_ROOT": self.root, "PERFD_MEMORY_SECOND": str(second_ms)}
        self.write("/proc/self/cgroup", "0::/perfd\n")
        self.use(50)

    def write(self, path, text):
        """In one step: perfd reads it at any time."""
        path = self.root + path
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path + ".new", "w", encoding="ascii") as out:
            out.write(text)
        os.rename(path + ".new", path)

    def use(self, percent):
        """Of the machine's memory."""
        total_kb = self.total_mb * 1024
        available_kb = int(total_kb * (100 - percent) / 100)
        self.write("/proc/meminfo", f"MemTotal:  {total_kb} kB\nMemFree:  0 kB\nMemAvailable:  {available_kb} kB\n")

    def use_group(self, used_mb, max_mb):
        self.write("/sys/fs/cgroup/perfd/memory.max", f"{max_mb * MB}\n")
        self.write("/sys/fs/cgroup/perfd/memory.current", f"{used_mb * MB}\n")

    def stall(self, some, full):
        self.write("/proc/pressure/memory", f"some avg10={some:.2f} avg60=0.00 avg300=0.00 total=0\n"
                                            f"full avg10={full:.2f} avg60=0.00 avg300=0.00 total=0\n")

    def remove(self):
        shutil.rmtree(self.root, ignore_errors=True)
