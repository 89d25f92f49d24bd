namespace MemSim.Explorer.Sessions.Commands;

/// <summary>Commands of processes and their memory.</summary>
internal static class ProcessCommands
{
    public static IReadOnlyList<CommandInfo> All { get; } =
    [
        new("process", "process NAME [oom=ADJ]", "Creates a process.", Create),
        new("mmap", "mmap PROCESS BYTES [as NAME]", "Maps anonymous memory into it; no page yet.", Mmap),
        new("write", "write MAPPING [from=PAGE] [pages=N]", "Writes to its pages: each fault brings one.", (s, a) => Touch(s, a, true)),
        new("read", "read MAPPING [from=PAGE] [pages=N]", "Reads its pages.", (s, a) => Touch(s, a, false)),
        new("fork", "fork PROCESS [as NAME]", "Makes a copy of the process; pages are shared until somebody writes.", Fork),
        new("munmap", "munmap MAPPING", "Takes a mapping away.", Munmap),
        new("exit", "exit PROCESS", "Ends it; everything it had is free again.", Exit),
        new("file", "file NAME BYTES", "Writes a file to a disk and drops it from the cache.", WriteFile),
        new("readfile", "readfile NAME", "Reads it: its pages stay in the page cache.", ReadFile),
    ];

    private static string Create(Session session, CommandArguments arguments)
    {
        string name = arguments.Word(0, "the name");
        if (session.Held.ContainsKey(name))
        {
            throw new CommandException($"'{name}' is taken; choose another name");
        }

        Process process = session.Machine.CreateProcess(name);
        process.OomScoreAdj = arguments.Option("oom", 0, -1000, 1000);
        session.Hold(new HeldProcess(name, process));
        return $"{name}: pid {process.Pid}";
    }

    private static string Mmap(Session session, CommandArguments arguments)
    {
        HeldProcess owner = session.Find<HeldProcess>(arguments.Word(0, "the process"));
        long size = arguments.Size(1, "the size", 64L << 30);
        string name = session.NameFor(arguments, "m");
        MemoryDescriptor mm = owner.Process.MemoryOrNull() ?? throw new CommandException($"{owner.Name} has ended");
        Result<VirtualAddress> result = mm.Mmap(size, Prot.Read | Prot.Write);
        if (!result.Succeeded)
        {
            return $"mmap() failed: {result.Error}";
        }

        session.Hold(new HeldMapping(name, owner.Process, result.Value, size));
        return $"{name}: {size >> 10} KiB at {result.Value}; none of its pages is present yet";
    }

    private static string Touch(Session session, CommandArguments arguments, bool write)
    {
        HeldMapping mapping = session.Find<HeldMapping>(arguments.Word(0, "the mapping"));
        Process owner = OwnerOf(session, mapping, arguments);
        int all = (int)Math.Min(int.MaxValue, mapping.Bytes / PageGeometry.PageSize);
        int from = arguments.Option("from", 0, 0, Math.Max(0, all - 1));
        int pages = Math.Min(arguments.Option("pages", all - from, 1, int.MaxValue), all - from);
        long minor = owner.MinorFaults;
        long major = owner.MajorFaults;
        int done = 0;
        string ended = string.Empty;
        using (session.Cpu.Run(owner))
        {
            try
            {
                for (; done < pages && owner.State == ProcessState.Running; done++)
                {
                    VirtualAddress at = mapping.Start + ((long)(from + done) * PageGeometry.PageSize);
                    if (write)
                    {
                        session.Cpu.Write(at, (long)done);
                    }
                    else
                    {
                        _ = session.Cpu.Read<long>(at);
                    }
                }
            }
            catch (SignalException e) when (e.SignalInfo.Signal == Signal.SIGKILL)
            {
                ended = $"; then {owner.Name} was killed";
            }
        }

        return $"{done} pages {(write ? "written" : "read")}: {owner.MinorFaults - minor} minor and {owner.MajorFaults - major} major faults{ended}";
    }

    private static Process OwnerOf(Session session, HeldMapping mapping, CommandArguments arguments)
    {
        string by = arguments.Option("by", string.Empty);
        Process owner = by.Length > 0 ? session.Find<HeldProcess>(by).Process : mapping.Owner;
        return owner.State == ProcessState.Running ? owner : throw new CommandException($"{owner.Name} has ended: its memory is gone");
    }

    private static string Fork(Session session, CommandArguments arguments)
    {
        HeldProcess parent = session.Find<HeldProcess>(arguments.Word(0, "the process"));
        string name = session.NameFor(arguments, "child");
        Result<Process> child = parent.Process.Fork(session.Cpu);
        if (!child.Succeeded)
        {
            return $"fork() failed: {child.Error}";
        }

        session.Hold(new HeldProcess(name, child.Value));
        return $"{name}: pid {child.Value.Pid}, with the same {child.Value.MemoryOrNull()?.ResidentPages} pages as {parent.Name}; 'write MAPPING by={name}' writes as the child";
    }

    private static string Munmap(Session session, CommandArguments arguments)
    {
        HeldMapping mapping = session.Find<HeldMapping>(arguments.Word(0, "the mapping"));
        session.Release(mapping.Name);
        Errno errno = mapping.Owner.MemoryOrNull() is { } mm ? mm.Munmap(mapping.Start, mapping.Bytes) : Errno.ESRCH;
        return errno == Errno.None ? $"{mapping.Name} unmapped" : $"munmap() failed: {errno}";
    }

    private static string Exit(Session session, CommandArguments arguments)
    {
        HeldProcess process = session.Find<HeldProcess>(arguments.Word(0, "the process"));
        session.Release(process.Name);
        foreach (Held held in session.Held.Values.ToList())
        {
            if (held is HeldMapping mapping && mapping.Owner == process.Process)
            {
                session.Release(held.Name);
            }
        }

        if (process.Process.State == ProcessState.Running)
        {
            process.Process.Exit(0, session.Cpu);
        }

        return $"{process.Name} ended";
    }

    private static string WriteFile(Session session, CommandArguments arguments)
    {
        string name = arguments.Word(0, "the name");
        long size = arguments.Size(1, "the size", 2L << 30);
        DiskFileSystem disk = Disk(session);
        Result<OpenFile> created = disk.Create(name, OpenMode.ReadWrite, session.Cpu);
        if (!created.Succeeded)
        {
            return $"creating {name} failed: {created.Error}";
        }

        byte[] chunk = new byte[1 << 16];
        for (long at = 0; at < size; at += chunk.Length)
        {
            session.Cpu.Files.Write(created.Value, at, chunk.AsSpan(0, (int)Math.Min(chunk.Length, size - at)));
        }

        session.Cpu.Files.Fsync(created.Value);
        created.Value.Close(session.Cpu);
        session.Machine.Files.DropCaches(1);
        return $"{name}: {size >> 10} KiB on the disk, nothing of it in memory";
    }

    private static string ReadFile(Session session, CommandArguments arguments)
    {
        string name = arguments.Word(0, "the name");
        Result<OpenFile> opened = Disk(session).Open(name, OpenMode.Read, session.Cpu);
        if (!opened.Succeeded)
        {
            return $"opening {name} failed: {opened.Error}; 'file {name} 1M' makes it";
        }

        byte[] chunk = new byte[1 << 16];
        for (long at = 0; at < opened.Value.File.Size; at += chunk.Length)
        {
            session.Cpu.Files.Read(opened.Value, at, chunk);
        }

        long cached = opened.Value.File.CachedPages;
        opened.Value.Close(session.Cpu);
        return $"{name} read: {cached} of its pages are in the page cache";
    }

    private static DiskFileSystem Disk(Session session)
    {
        if (session.Held.TryGetValue("disk", out Held? held) && held is HeldDisk disk)
        {
            return disk.FileSystem;
        }

        DiskFileSystem system = session.Machine.Files.Mount(new BlockDevice("vda", "4G"));
        session.Hold(new HeldDisk("disk", system));
        return system;
    }
}
