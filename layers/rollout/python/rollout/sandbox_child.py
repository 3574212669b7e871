"""Runs in the sandbox's child process: gives up what the program must not have, then becomes the program.

Started by :mod:`rollout.sandbox` as a script, with the standard library alone. What could be given up is
written to the descriptor ``status`` as one line of JSON before the first line of the program runs.
"""

from __future__ import annotations

import ctypes
import json
import linecache
import math
import os
import platform
import resource
import signal
import sys
import traceback
from pathlib import Path
from typing import Any

_PR_SET_PDEATHSIG, _PR_SET_NO_NEW_PRIVS, _PR_SET_SECCOMP = 1, 38, 22
_EPERM, _ENOSYS = 1, 38
_CLONE_THREAD = 0x10000

# Numbers of system calls, from linux/arch/x86/entry/syscalls/syscall_64.tbl and
# include/uapi/asm-generic/unistd.h (which is aarch64's); they never change.
_REFUSED = {
    "x86_64": {
        "network": "socket 41",
        "processes": "fork 57 vfork 58 execve 59 execveat 322 setpgid 109 setsid 112",
        "others": "ptrace 101 process_vm_readv 310 process_vm_writev 311 tkill 200 rt_sigqueueinfo 129 "
        "rt_tgsigqueueinfo 297 pidfd_send_signal 424 pidfd_open 434 pidfd_getfd 438 process_madvise 440 "
        "kcmp 312 setpriority 141 sched_setscheduler 144",
        "limits": "setrlimit 160",
        "memory": "memfd_create 319 memfd_secret 447 shmget 29 semget 64 msgget 68 mq_open 240",
        "kernel": "mount 165 umount2 166 pivot_root 155 chroot 161 unshare 272 setns 308 bpf 321 "
        "perf_event_open 298 userfaultfd 323 keyctl 250 add_key 248 request_key 249 "
        "open_by_handle_at 304 name_to_handle_at 303 kexec_load 246 kexec_file_load 320 "
        "init_module 175 finit_module 313 delete_module 176 reboot 169 swapon 167 swapoff 168 "
        "mknod 133 mknodat 259 acct 163 quotactl 179 settimeofday 164 clock_settime 227 adjtimex 159 "
        "clock_adjtime 305 personality 135 fsopen 430 move_mount 429 open_tree 428 mount_setattr 442",
    },
    "aarch64": {
        "network": "socket 198",
        "processes": "execve 221 execveat 281 setpgid 154 setsid 157",
        "others": "ptrace 117 process_vm_readv 270 process_vm_writev 271 tkill 130 rt_sigqueueinfo 138 "
        "rt_tgsigqueueinfo 240 pidfd_send_signal 424 pidfd_open 434 pidfd_getfd 438 process_madvise 440 "
        "kcmp 272 setpriority 140 sched_setscheduler 119",
        "limits": "setrlimit 164",
        "memory": "memfd_create 279 memfd_secret 447 shmget 194 semget 190 msgget 186 mq_open 180",
        "kernel": "mount 40 umount2 39 pivot_root 41 chroot 51 unshare 97 setns 268 bpf 280 "
        "perf_event_open 241 userfaultfd 282 keyctl 219 add_key 217 request_key 218 "
        "open_by_handle_at 265 name_to_handle_at 264 kexec_load 104 kexec_file_load 294 "
        "init_module 105 finit_module 273 delete_module 106 reboot 142 swapon 224 swapoff 225 "
        "mknodat 33 acct 89 quotactl 60 settimeofday 170 clock_settime 112 adjtimex 171 "
        "clock_adjtime 266 personality 92 fsopen 430 move_mount 429 open_tree 428 mount_setattr 442",
    },
}
# Refused where nothing may be written: whatever changes a file other than through an open one.
_WRITING = {
    "x86_64": "creat 85 mkdir 83 mkdirat 258 rmdir 84 unlink 87 unlinkat 263 rename 82 renameat 264 "
    "renameat2 316 link 86 linkat 265 symlink 88 symlinkat 266 truncate 76 chmod 90 fchmod 91 "
    "fchmodat 268 fchmodat2 452 chown 92 lchown 94 fchown 93 fchownat 260 utime 132 utimes 235 "
    "utimensat 280 futimesat 261 setxattr 188 lsetxattr 189 fsetxattr 190 removexattr 197 "
    "lremovexattr 198 fremovexattr 199",
    "aarch64": "mkdirat 34 unlinkat 35 symlinkat 36 linkat 37 renameat 38 renameat2 276 truncate 45 "
    "fchmod 52 fchmodat 53 fchmodat2 452 fchownat 54 fchown 55 utimensat 88 setxattr 5 lsetxattr 6 "
    "fsetxattr 7 removexattr 14 lremovexattr 15 fremovexattr 16",
}
# Told that they do not exist: then the C library takes the call whose arguments can be looked at.
_UNKNOWN = "clone3 435 openat2 437 io_uring_setup 425 io_uring_enter 426 io_uring_register 427"
# Looked at: the call's number, and which argument.
_LOOKED_AT: dict[str, dict[str, Any]] = {
    "x86_64": {
        "audit": 0xC000003E, "clone": 56, "kill": 62, "tgkill": 234, "prlimit64": 302,
        "opens": ((2, 1), (257, 2)),
    },
    "aarch64": {
        "audit": 0xC00000B7, "clone": 220, "kill": 129, "tgkill": 131, "prlimit64": 261,
        "opens": ((56, 2),),
    },
}  # fmt: skip


def _numbers(text: str) -> list[int]:
    return [int(word) for word in text.split() if word.isdigit()]


class _Instruction(ctypes.Structure):
    """``struct sock_filter``."""

    _fields_ = (
        ("code", ctypes.c_ushort), ("yes", ctypes.c_ubyte), ("no", ctypes.c_ubyte),
        ("k", ctypes.c_uint32),
    )  # fmt: skip


class _Program(ctypes.Structure):
    """``struct sock_fprog``."""

    _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.POINTER(_Instruction)))


_LOAD, _EQUAL, _ANY_BIT, _AT_LEAST, _RETURN = 0x20, 0x15, 0x45, 0x35, 0x06
_ALLOW, _KILL, _ERRNO = 0x7FFF0000, 0x80000000, 0x00050000
_NUMBER, _ARCHITECTURE, _ARGUMENTS = 0, 4, 16


def filter_program(machine: str, pid: int, *, writing: bool) -> list[tuple[int, int, int, int]]:
    """The seccomp filter as instructions: code, jump if true, jump if false, operand.

    Args:
        machine: ``x86_64`` or ``aarch64``.
        pid: the one process that may be signalled: itself.
        writing: whether files may be made and changed.
    """
    looked = _LOOKED_AT[machine]
    made: list[tuple[int, int, int, int]] = [
        (_LOAD, 0, 0, _ARCHITECTURE),
        (_EQUAL, 1, 0, looked["audit"]),
        (_RETURN, 0, 0, _KILL),
        (_LOAD, 0, 0, _NUMBER),
    ]
    if machine == "x86_64":  # the second numbering that a 64-bit kernel answers to
        made += [(_AT_LEAST, 0, 1, 0x40000000), (_RETURN, 0, 0, _KILL)]
    refused = _numbers(" ".join(_REFUSED[machine].values()))
    if not writing:
        refused += _numbers(_WRITING[machine])
    for number in refused:
        made += [(_EQUAL, 0, 1, number), (_RETURN, 0, 0, _ERRNO | _EPERM)]
    for number in _numbers(_UNKNOWN):
        made += [(_EQUAL, 0, 1, number), (_RETURN, 0, 0, _ERRNO | _ENOSYS)]
    # A thread, but no process.
    made += _unless(looked["clone"], 0, (_ANY_BIT, 1, 0, _CLONE_THREAD))
    for name in ("kill", "tgkill"):
        made += _unless(looked[name], 0, (_EQUAL, 1, 0, pid))
    # Limits are read, not set: the pointer to new ones is null, in both of its halves.
    for half in (0, 4):
        made += _unless(looked["prlimit64"], 2, (_EQUAL, 1, 0, 0), half=half)
    if not writing:
        changing = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC
        for number, argument in looked["opens"]:
            made += _unless(number, argument, (_ANY_BIT, 0, 1, changing))
    return [*made, (_RETURN, 0, 0, _ALLOW)]


def _unless(
    number: int, argument: int, test: tuple[int, int, int, int], *, half: int = 0
) -> list[tuple[int, int, int, int]]:
    """Refuse a call unless the test of one of its arguments jumps over the refusal."""
    return [
        (_EQUAL, 0, 4, number),
        (_LOAD, 0, 0, _ARGUMENTS + 8 * argument + half),
        test,
        (_RETURN, 0, 0, _ERRNO | _EPERM),
        (_LOAD, 0, 0, _NUMBER),
    ]


def _guard_calls(libc: Any, *, writing: bool) -> bool:
    """Refuse system calls for the rest of the process's life; whether the kernel took it."""
    machine = platform.machine()
    if machine not in _LOOKED_AT:
        return False
    instructions = filter_program(machine, os.getpid(), writing=writing)
    array = (_Instruction * len(instructions))(*instructions)
    program = _Program(len(instructions), array)
    return libc.prctl(_PR_SET_SECCOMP, 2, ctypes.byref(program), 0, 0) == 0


# --- Landlock: which files may be opened at all (Linux 5.13) -----------------------------------------

_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446
_READ_FILE, _READ = 1 << 2, 1 << 0 | 1 << 2 | 1 << 3  # a file; execute, read, list
_ALL = {1: (1 << 13) - 1, 2: (1 << 14) - 1, 3: (1 << 15) - 1, 5: (1 << 16) - 1}
_READABLE = (
    "/usr",
    "/lib",
    "/lib64",
    "/etc/ld.so.cache",
    "/etc/localtime",
    "/dev/null",
    "/dev/urandom",
)


class _Beneath(ctypes.Structure):
    """``struct landlock_path_beneath_attr``."""

    _pack_ = 1
    _layout_ = "ms"
    _fields_ = (("access", ctypes.c_uint64), ("parent", ctypes.c_int32))


def _guard_files(libc: Any, folder: str, readable: list[str], *, writing: bool) -> bool:
    """Leave the program Python's own files, the named ones and its folder; whether the kernel can."""
    version = libc.syscall(_CREATE_RULESET, None, 0, 1)
    if version < 1:
        return False
    handled = ctypes.c_uint64(_ALL[max(known for known in _ALL if known <= version)])
    ruleset = libc.syscall(_CREATE_RULESET, ctypes.byref(handled), 8, 0)
    if ruleset < 0:
        return False
    own = {sys.prefix, sys.base_prefix, os.path.realpath(sys.executable), *_READABLE, *readable}
    allowed = dict.fromkeys(sorted(own), _READ) | {folder: handled.value if writing else _READ}
    for path, access in allowed.items():
        try:
            parent = os.open(path, os.O_PATH | os.O_CLOEXEC)
        except OSError:
            continue
        rule = _Beneath(access if Path(path).is_dir() else _READ_FILE, parent)
        if libc.syscall(_ADD_RULE, ruleset, 1, ctypes.byref(rule), 0) != 0:
            return False
        os.close(parent)
    done = libc.syscall(_RESTRICT_SELF, ruleset, 0) == 0
    os.close(ruleset)
    return done


# --- everything else ---------------------------------------------------------------------------------


def _limit(name: str, most: int) -> None:
    kind = getattr(resource, name, None)
    if kind is None:
        return
    _, hard = resource.getrlimit(kind)
    least = most if hard == resource.RLIM_INFINITY else min(most, hard)
    resource.setrlimit(kind, (least, least))


def _drop_capabilities(libc: Any) -> None:
    """What root may beyond its files: without this it could read its parent, which has more."""
    header = (ctypes.c_uint32 * 2)(0x20080522, 0)  # version 3, this thread
    libc.capset(header, (ctypes.c_uint32 * 6)())


def main() -> None:
    """Give up what can be given up, tell what that was, and run the program."""
    asked: dict[str, Any] = json.loads(sys.argv[1])
    writing = asked["disk"] > 0
    _limit("RLIMIT_CORE", 0)
    _limit("RLIMIT_CPU", math.ceil(asked["seconds"]) + 1)
    _limit("RLIMIT_FSIZE", asked["disk"])
    _limit("RLIMIT_NOFILE", 64)
    _limit("RLIMIT_NPROC", 256)
    guards = ["limits"]
    source = sys.stdin.buffer.read(asked["size"]) if asked["size"] else b""
    if sys.platform == "linux":
        _limit("RLIMIT_AS", asked["memory"])
        libc = ctypes.CDLL(None, use_errno=True)
        libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
        _drop_capabilities(libc)
        folder, readable = str(Path.cwd()), asked["packages"]
        if _guard_files(libc, folder, readable, writing=writing):
            guards.append("files")
        if _guard_calls(libc, writing=writing):
            guards.append("calls")
    sys.path.extend(asked["packages"])
    sys.argv[:] = ["program.py"]
    os.write(asked["status"], json.dumps(guards).encode())
    os.close(asked["status"])
    if not set(asked["require"]) <= set(guards):
        return
    _play(source)


def _play(source: bytes) -> None:
    """Become the program; a traceback begins at its first line and shows its lines."""
    text = source.decode()
    linecache.cache["program.py"] = (len(text), None, text.splitlines(keepends=True), "program.py")
    try:
        exec(compile(text, "program.py", "exec"), {"__name__": "__main__"})  # noqa: S102 - its purpose
    except Exception as error:  # noqa: BLE001 - the program's; told as Python tells it
        own = error.__traceback__ and error.__traceback__.tb_next
        traceback.print_exception(error.with_traceback(own))
        sys.exit(1)


if __name__ == "__main__":
    main()
