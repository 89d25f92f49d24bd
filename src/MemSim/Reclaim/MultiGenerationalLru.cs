using System.Globalization;
using MemSim.Reclaim;

namespace MemSim;

/// <summary>The multi-generational LRU: the files of <c>/sys/kernel/mm/lru_gen</c>. Debian's kernels from 6.12 on reclaim by it; 6.1 has it switched off.</summary>
/// <remarks>What generations there are, and their pages, shows <c>machine.Proc.LruGen</c>.</remarks>
public sealed class MultiGenerationalLru
{
    private const int Core = 1;
    private const int WalkPageTables = 2;
    private const int YoungTables = 4;

    private readonly Machine _machine;

    internal MultiGenerationalLru(Machine machine) => _machine = machine;

    /// <summary>Whether the kernel has it at all.</summary>
    public bool IsSupported => _machine.Lru.HasGenerations;

    /// <summary>Whether reclaim goes by generations.</summary>
    public bool IsEnabled => _machine.Lru.ByGeneration;

    /// <summary>What of it is at work, a bit each (<c>enabled</c>): 1 the generations themselves, 2 aging by walks of page tables, 4 walks only of tables that the hardware marked as used.</summary>
    /// <remarks>All pages move between generations and the active and inactive lists when bit 1 changes. Bits that the architecture cannot have stay clear.</remarks>
    /// <exception cref="InvalidOperationException">Set on a kernel that does not have it.</exception>
    public int Enabled
    {
        get
        {
            GenerationEngine engine = _machine.Reclaim.Vmscan.Generations;
            return (IsEnabled ? Core : 0) | (engine.WalksPageTables ? WalkPageTables : 0) | (engine.SkipsUnusedTables ? YoungTables : 0);
        }

        set
        {
            if (!IsSupported)
            {
                throw new InvalidOperationException($"Linux {_machine.Personality.Name} has no multi-generational LRU (ENOENT)");
            }

            GenerationEngine engine = _machine.Reclaim.Vmscan.Generations;
            engine.WalksPageTables = (value & WalkPageTables) != 0;
            engine.SkipsUnusedTables = (value & YoungTables) != 0 && engine.CanSkipUnusedTables;
            _machine.Lru.SwitchTo((value & Core) != 0);
        }
    }

    /// <summary>The youngest age, in milliseconds, at which pages may be evicted (<c>min_ttl_ms</c>); when all are younger, the OOM killer ends a process. 0, the default, for none.</summary>
    public long MinTimeToLiveMilliseconds
    {
        get => _machine.Reclaim.Vmscan.Generations.MinTimeToLiveNanoseconds / 1_000_000;
        set
        {
            ArgumentOutOfRangeException.ThrowIfNegative(value);
            _machine.Reclaim.Vmscan.Generations.MinTimeToLiveNanoseconds = value * 1_000_000;
        }
    }

    /// <summary>The text of the file <c>enabled</c>.</summary>
    public string EnabledText => string.Create(CultureInfo.InvariantCulture, $"0x{Enabled:x4}\n");

    /// <summary>What one writes to the file <c>enabled</c>: <c>y</c>, <c>n</c> or a number.</summary>
    /// <param name="text">The text.</param>
    /// <exception cref="FormatException">The kernel would refuse it (EINVAL).</exception>
    public void Write(string text)
    {
        ArgumentNullException.ThrowIfNull(text);
        string trimmed = text.Trim();
        if (trimmed.StartsWith('n') || trimmed.StartsWith('N'))
        {
            Enabled = 0;
        }
        else if (trimmed.StartsWith('y') || trimmed.StartsWith('Y'))
        {
            Enabled = -1;
        }
        else
        {
            bool hex = trimmed.StartsWith("0x", StringComparison.OrdinalIgnoreCase);
            Enabled = uint.TryParse(hex ? trimmed.AsSpan(2) : trimmed, hex ? NumberStyles.AllowHexSpecifier : NumberStyles.None, CultureInfo.InvariantCulture, out uint bits)
                ? (int)bits
                : throw new FormatException($"lru_gen/enabled takes y, n or a number, not '{trimmed}' (EINVAL)");
        }
    }
}
