namespace MemSim;

/// <summary>The files below <c>/proc/sys</c>. <see cref="Machine.Sysctl"/>.</summary>
public sealed class MachineSysctl
{
    private const string NumaBalancingFile = "kernel.numa_balancing";
    private const string PromoteRateLimitFile = "kernel.numa_balancing_promote_rate_limit_MBps";

    private readonly Machine _machine;

    internal MachineSysctl(Machine machine) => _machine = machine;

    /// <summary>How long a task may sleep in <see cref="Cpu.Kmap"/> on a machine with parallel CPUs before it is reported (<c>hung_task_timeout_secs</c>).</summary>
    public TimeSpan HungTaskTimeout
    {
        get => _machine.Settings.HungTaskTimeout;
        set => _machine.Settings.HungTaskTimeout = value;
    }

    /// <summary>Writes to a file below <c>/proc/sys/vm</c>; watermarks, reserves and per-CPU limits change as the kernel recalculates them.</summary>
    /// <param name="name">The file's name, with or without <c>vm.</c>, e.g. <c>min_free_kbytes</c>; or <c>kernel.numa_balancing</c>, <c>kernel.numa_balancing_promote_rate_limit_MBps</c>.</param>
    /// <param name="text">What to write; several numbers are separated by spaces or tabs.</param>
    /// <exception cref="ArgumentException">There is no such file, or the kernel would refuse the text.</exception>
    public void Set(string name, string text)
    {
        _machine.ThrowIfDisposed();
        string file = NameOf(name);
        if (file is NumaBalancingFile or PromoteRateLimitFile)
        {
            SetBalancing(file, text);
            return;
        }

        if (file == "drop_caches")
        {
            // Not a setting: an order.
            _machine.Files.DropCaches(int.TryParse(text, out int what) && what is >= 1 and <= 4 ? what : throw new ArgumentException($"vm.drop_caches: '{text}' is not 1 to 4 (EINVAL)", nameof(text)));
            return;
        }

        if (file == "compact_memory")
        {
            // Not a setting but a button: only 1 presses it.
            if (text?.Trim() != "1")
            {
                throw new ArgumentException("vm.compact_memory: only 1 can be written", nameof(text));
            }

            _machine.Compaction.CompactMemory();
            return;
        }

        if (file is "nr_hugepages" or "nr_hugepages_mempolicy" or "nr_overcommit_hugepages" && _machine.Hugetlb.Pool.IsGigantic)
        {
            throw new ArgumentException($"vm.{file}: pages of {_machine.Hugetlb.Pool.PageSize} come from the boot alone (EINVAL)", nameof(text));
        }

        _machine.Settings.Set(file, text);
        if (file is "nr_hugepages" or "nr_hugepages_mempolicy" or "nr_overcommit_hugepages")
        {
            _machine.Hugetlb.Pool.WriteSysctl(_machine.Cpus[0], file, _machine.Settings.Sysctls.Number(file));
        }
    }

    /// <summary>Reads a file below <c>/proc/sys/vm</c>. Reading <c>lowmem_reserve_ratio</c> recomputes the reserves, as 6.1 does.</summary>
    /// <param name="name">The file's name, with or without <c>vm.</c>.</param>
    /// <returns>The text, without the newline.</returns>
    /// <exception cref="ArgumentException">There is no such file.</exception>
    public string Get(string name)
    {
        _machine.ThrowIfDisposed();
        string file = NameOf(name);
        if (file is NumaBalancingFile or PromoteRateLimitFile)
        {
            return Number(file == NumaBalancingFile ? (int)_machine.Migration.Balancing.Mode : _machine.Migration.Balancing.PromoteRateLimit);
        }

        // What the pool reached, not what was written.
        return file is "nr_hugepages" or "nr_hugepages_mempolicy" && _machine.Hugetlb.Pool.WasSized
            ? Number(_machine.Hugetlb.Pool.Total - _machine.Hugetlb.Pool.Surplus)
            : _machine.Settings.Read(file);
    }

    private void SetBalancing(string file, string text)
    {
        bool isMode = file == NumaBalancingFile;
        if (!int.TryParse(text, System.Globalization.NumberStyles.None, System.Globalization.CultureInfo.InvariantCulture, out int value) || (isMode && value > 3))
        {
            throw new ArgumentException($"{file}: '{text}' is not a number{(isMode ? " from 0 to 3" : "")} (EINVAL)", nameof(text));
        }

        if (isMode)
        {
            _machine.Migration.Balancing.Mode = (NumaBalancingModes)value;
        }
        else
        {
            _machine.Migration.Balancing.PromoteRateLimit = value;
        }
    }

    private static string Number(long value) => value.ToString(System.Globalization.CultureInfo.InvariantCulture);

    private static string NameOf(string name)
    {
        ArgumentNullException.ThrowIfNull(name);
        return name.StartsWith("vm.", StringComparison.Ordinal) ? name[3..] : name;
    }
}

/// <content>The files below <c>/proc/sys/vm</c>.</content>
public sealed partial class Machine
{
    /// <summary>The files below <c>/proc/sys/vm</c>.</summary>
    public MachineSysctl Sysctl { get; }
}
