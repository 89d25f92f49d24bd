namespace MemSim.Captures;

/// <summary>Finds the files of a captured machine: a folder of a capture, of one of its run-time steps, of a trace, or a live <c>/proc</c>.</summary>
internal sealed class CaptureFolder
{
    private CaptureFolder(string directory, string machine)
    {
        Directory = directory;
        Machine = machine;
    }

    /// <summary>The folder with the figures.</summary>
    public string Directory { get; }

    /// <summary>The folder with what does not change: the same, but for a run-time step.</summary>
    public string Machine { get; }

    /// <summary>Whether this is one step below a capture's <c>runtime</c>.</summary>
    public bool IsStep => Directory != Machine;

    public static CaptureFolder Open(string directory)
    {
        string full = Path.GetFullPath(directory).TrimEnd(Path.DirectorySeparatorChar);
        if (!System.IO.Directory.Exists(full))
        {
            throw new InputFileException(directory, 0, "no such folder");
        }

        string? parent = Path.GetDirectoryName(full);
        string? grandparent = parent is null ? null : Path.GetDirectoryName(parent);

        // A sosreport has the files of /proc in a folder of that name.
        string proc = Path.Combine(full, "proc");
        if (!File.Exists(Path.Combine(full, "zoneinfo")) && !File.Exists(Path.Combine(full, "before-zoneinfo")) && File.Exists(Path.Combine(proc, "zoneinfo")))
        {
            return new CaptureFolder(proc, proc);
        }

        bool step = Path.GetFileName(parent) == "runtime" && grandparent is not null && File.Exists(Path.Combine(grandparent, "zoneinfo"));
        return new CaptureFolder(full, step ? grandparent! : full);
    }

    /// <summary>A file of the figures, by its name or that name with <c>before-</c>; null where there is none.</summary>
    public string? FindFigures(string name) => First(Path.Combine(Directory, name), Path.Combine(Directory, "before-" + name));

    /// <summary>The text of a file that does not change; null where there is none.</summary>
    public string? MachineText(params string[] names)
    {
        foreach (string name in names)
        {
            if (First(Path.Combine(Machine, name), Path.Combine(Machine, "before-" + name)) is string path)
            {
                return File.ReadAllText(path);
            }
        }

        return null;
    }

    /// <summary>What names the kernel and its machine: <c>uname -a</c>, <c>/proc/version</c>, <c>sys/kernel/osrelease</c> and what a sosreport keeps of them; empty where there is nothing.</summary>
    public string KernelText()
    {
        List<string> texts = [];
        foreach (string name in (string[])["uname", "version", "sys/kernel/osrelease", "sys/kernel/version", "sys/kernel/arch", "../sos_commands/kernel/uname_-a", "../uname"])
        {
            if (MachineText(name) is string text && text.Trim() is { Length: > 0 } found)
            {
                texts.Add(found);
            }
        }

        return string.Join('\n', texts);
    }

    /// <summary>The kernel's command line.</summary>
    public string CommandLine()
    {
        if (MachineText("proc-cmdline") is string captured)
        {
            return captured.Trim();
        }

        // A capture's `cmdline` is QEMU's; a live /proc has the kernel's under that name.
        string text = MachineText("cmdline")?.Trim() ?? "";
        if (!text.StartsWith("qemu-", StringComparison.Ordinal))
        {
            return text;
        }

        const string Append = "-append '";
        int start = text.IndexOf(Append, StringComparison.Ordinal);
        int end = text.LastIndexOf('\'');
        return start < 0 || end < start + Append.Length ? "" : text[(start + Append.Length)..end];
    }

    /// <summary>The files <c>nodeN-WHAT</c> of a capture, or <c>nodeN/WHAT</c> of a live system beside <c>/proc</c>: by node.</summary>
    public IEnumerable<(int Node, string Path)> NodeFiles(string what)
    {
        string captured = Path.Combine(Machine, "node");
        if (System.IO.Directory.Exists(captured))
        {
            foreach (string path in System.IO.Directory.GetFiles(captured, "node*-" + what).Order(StringComparer.Ordinal))
            {
                string name = Path.GetFileName(path);
                if (int.TryParse(name.AsSpan(4, name.Length - 4 - what.Length - 1), out int node))
                {
                    yield return (node, path);
                }
            }

            yield break;
        }

        string live = Path.Combine(Machine, "..", "sys", "devices", "system", "node");
        if (IsLiveProc && System.IO.Directory.Exists(live))
        {
            foreach (string folder in System.IO.Directory.GetDirectories(live, "node*").Order(StringComparer.Ordinal))
            {
                if (int.TryParse(Path.GetFileName(folder).AsSpan(4), out int node) && File.Exists(Path.Combine(folder, what)))
                {
                    yield return (node, Path.Combine(folder, what));
                }
            }
        }
    }

    /// <summary>The state of transparent huge pages when the capture was made: <c>[always] madvise never</c>; empty where sysfs has no such file, null where that is not known.</summary>
    public string? TransparentHugePages()
    {
        if (MachineText("thp-enabled") is string text)
        {
            return text;
        }

        string live = Path.Combine(Machine, "..", "sys", "kernel", "mm");
        if (IsLiveProc && System.IO.Directory.Exists(live))
        {
            string file = Path.Combine(live, "transparent_hugepage", "enabled");
            return File.Exists(file) ? File.ReadAllText(file) : "";
        }

        // A listing of /sys/kernel/mm without them says that the kernel has none.
        return MachineText("sys-kernel-mm.txt") is string listing && !listing.Contains("transparent_hugepage", StringComparison.Ordinal) ? "" : null;
    }

    /// <summary>The settings, as (file, line, name, value).</summary>
    public IEnumerable<(string Path, int Line, string Name, string Value)> Sysctls()
    {
        string captured = Path.Combine(Machine, "sysctl-vm.txt");
        if (File.Exists(captured))
        {
            int number = 0;
            foreach (string line in File.ReadLines(captured))
            {
                number++;
                int equals = line.IndexOf('=', StringComparison.Ordinal);
                if (equals < 0)
                {
                    if (line.Trim().Length != 0)
                    {
                        throw new InputFileException(captured, number, $"'{line.Trim()}' is not like 'name = value'");
                    }

                    continue;
                }

                string name = line[..equals].Trim();
                yield return (captured, number, name.StartsWith("vm.", StringComparison.Ordinal) ? name[3..] : name, line[(equals + 1)..].Trim());
            }

            yield break;
        }

        string live = Path.Combine(Machine, "sys", "vm");
        if (System.IO.Directory.Exists(live))
        {
            foreach (string name in VmSysctls.Names)
            {
                string path = Path.Combine(live, name);
                if (File.Exists(path) && TryReadAll(path) is string text)
                {
                    yield return (path, 1, name, text.Trim());
                }
            }
        }
    }

    private bool IsLiveProc => File.Exists(Path.Combine(Machine, "zoneinfo")) && System.IO.Directory.Exists(Path.Combine(Machine, "sys", "vm"));

    private static string? First(string first, string second) => File.Exists(first) ? first : File.Exists(second) ? second : null;

    private static string? TryReadAll(string path)
    {
        try
        {
            return File.ReadAllText(path);
        }
        catch (UnauthorizedAccessException)
        {
            // Some settings are the administrator's to read.
            return null;
        }
        catch (IOException)
        {
            return null;
        }
    }
}
