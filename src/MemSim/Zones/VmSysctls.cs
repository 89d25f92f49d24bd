using System.Diagnostics.CodeAnalysis;
using System.Globalization;
using MemSim.Zones;

namespace MemSim;

/// <summary>The settings below <c>/proc/sys/vm</c>: written and read as text like the files, read by the simulator as numbers.</summary>
/// <example><code>
/// var vm = new VmSysctls(ArchitectureInfo.X86_64.ZoneTypes);
/// vm.TrySet("lowmem_reserve_ratio", "128 128 16 0 0", out string? error);
/// vm.Get("lowmem_reserve_ratio");   // "128\t128\t16\t0\t0"
/// </code></example>
public sealed class VmSysctls
{
    private const int SmallestHighFraction = 8;
    private readonly Dictionary<string, long[]> _values = new(StringComparer.Ordinal);
    private int[] _lowmemReserveRatio;

    /// <summary>The settings as a boot finds them, before <c>min_free_kbytes</c> is computed.</summary>
    /// <param name="zoneTypes">The zones the kernel was built with: <c>lowmem_reserve_ratio</c> has a number for each.</param>
    public VmSysctls(IReadOnlyList<ZoneType> zoneTypes)
    {
        ArgumentNullException.ThrowIfNull(zoneTypes);
        foreach (VmSysctlRule rule in VmSysctlTable.Rules)
        {
            _values[rule.Name] = [rule.Default];
        }

        _lowmemReserveRatio = [.. zoneTypes.Select(DefaultRatio)];
        Publish();
    }

    private VmSysctls(VmSysctls other)
    {
        foreach ((string name, long[] value) in other._values)
        {
            _values[name] = value;
        }

        _lowmemReserveRatio = other._lowmemReserveRatio;
        UserMinFreeKbytes = other.UserMinFreeKbytes;
        Publish();
    }

    /// <summary>The files that can be read and written, by name.</summary>
    public static IEnumerable<string> Names => VmSysctlTable.Rules.Select(r => r.Name);

    /// <summary>Free memory in KiB that the min watermarks add up to.</summary>
    public int MinFreeKbytes { get; private set; }

    /// <summary>The <c>min_free_kbytes</c> last written by the user, -1 where none was: the kernel replaces it only by a larger one of its own.</summary>
    public int UserMinFreeKbytes { get; private set; } = -1;

    /// <summary>The distance between watermarks in 10000ths of a zone.</summary>
    public int WatermarkScaleFactor { get; private set; }

    /// <summary>How far fragmentation may raise the watermarks, in 10000ths of the high watermark; 0 is off.</summary>
    public int WatermarkBoostFactor { get; private set; }

    /// <summary>The part of a zone that the per-CPU lists may hold is one over this; 0: the low watermark.</summary>
    public int PercpuPagelistHighFraction { get; private set; }

    /// <summary>How eagerly anonymous memory is swapped, 0 to 200.</summary>
    public int Swappiness { get; private set; }

    /// <summary>log2 of the pages that are at most brought back from swap together.</summary>
    public int PageCluster => Int("page-cluster");

    /// <summary>Whether and how a node is reclaimed before another one is used (bits 1, 2, 4).</summary>
    public int ZoneReclaimMode => Int("zone_reclaim_mode");

    /// <summary>Percentage of a node's pages that must be unmapped page cache before <see cref="ZoneReclaimMode"/> reclaims.</summary>
    public int MinUnmappedRatio => Int("min_unmapped_ratio");

    /// <summary>Percentage of a node's pages that must be reclaimable slab before <see cref="ZoneReclaimMode"/> reclaims.</summary>
    public int MinSlabRatio => Int("min_slab_ratio");

    /// <summary>The fragmentation index (0 to 1000) above which the kernel compacts rather than reclaims.</summary>
    public int ExtfragThreshold => Int("extfrag_threshold");

    /// <summary>How eagerly the kernel compacts in the background, 0 to 100.</summary>
    public int CompactionProactiveness => Int("compaction_proactiveness");

    /// <summary>Whether compaction may move unevictable pages.</summary>
    public bool CompactUnevictableAllowed => Int("compact_unevictable_allowed") != 0;

    /// <summary>Seconds between two foldings of the per-CPU counters.</summary>
    public int StatInterval => Int("stat_interval");

    /// <summary>0 heuristic, 1 always, 2 strict accounting of committed memory.</summary>
    public int OvercommitMemory { get; private set; }

    /// <summary>Areas that an address space may have (<c>max_map_count</c>).</summary>
    internal int MaxMapCount { get; private set; }

    /// <summary>The part of a zone's upper neighbours that it keeps back is one over this; 0 keeps nothing back.</summary>
    /// <param name="zoneIndex">The kernel's index of the zone.</param>
    public int LowmemReserveRatio(int zoneIndex) => zoneIndex < _lowmemReserveRatio.Length ? _lowmemReserveRatio[zoneIndex] : 0;

    /// <summary>A copy that changes independently.</summary>
    public VmSysctls Clone() => new(this);

    /// <summary>Writes to a file of <c>/proc/sys/vm</c>: numbers in decimal, <c>0x</c> or leading-zero octal, blanks or tabs between several.</summary>
    /// <param name="name">The name of the file, without <c>vm.</c>.</param>
    /// <param name="text">What to write.</param>
    /// <param name="error">Why the kernel refuses it, or null.</param>
    /// <returns>Whether it was accepted; nothing changed where it was not.</returns>
    /// <remarks>
    /// Fewer numbers than the file has change the first ones only, further ones are ignored, as in the kernel. One difference: <c>lowmem_reserve_ratio</c> of 6.1
    /// silently ignores what is no number; here that is an error.
    /// </remarks>
    public bool TrySet(string name, string text, [NotNullWhen(false)] out string? error) => TrySet(name, text, checkRange: true, out error);

    /// <summary>The text that reading a file of <c>/proc/sys/vm</c> gives, without the newline.</summary>
    /// <param name="name">The name of the file, without <c>vm.</c>.</param>
    /// <exception cref="ArgumentException">There is no such file.</exception>
    public string Get(string name)
    {
        VmSysctlRule rule = Find(name) ?? throw new ArgumentException($"no file /proc/sys/vm/{name}", nameof(name));
        if (rule.Kind == VmSysctlKind.Text)
        {
            return "Node";
        }

        return name == VmSysctlTable.LowmemReserveRatio
            ? string.Join('\t', _lowmemReserveRatio.Select(r => r.ToString(CultureInfo.InvariantCulture)))
            : _values[name][0].ToString(CultureInfo.InvariantCulture);
    }

    /// <summary>What a file with one number holds, without making text of it.</summary>
    internal long Number(string name) => _values[name][0];

    /// <summary>Takes over what a file held: only the form is checked, since a file may hold what it would not accept (a <c>dirty_bytes</c> of 0).</summary>
    internal bool TryLoad(string name, string text, [NotNullWhen(false)] out string? error)
    {
        int user = UserMinFreeKbytes;
        bool loaded = TrySet(name, text, checkRange: false, out error);
        UserMinFreeKbytes = user;
        return loaded;
    }

    /// <summary>Whether <see cref="TrySet(string, string, out string?)"/> knows the file.</summary>
    internal static bool Has(string name) => Find(name) is not null;

    internal void SetMinFreeKbytesByKernel(int value)
    {
        _values[VmSysctlTable.MinFreeKbytes] = [value];
        Publish();
    }

    private bool TrySet(string name, string text, bool checkRange, [NotNullWhen(false)] out string? error)
    {
        ArgumentNullException.ThrowIfNull(name);
        ArgumentNullException.ThrowIfNull(text);
        VmSysctlRule? rule = Find(name);
        if (rule is null)
        {
            error = $"no file /proc/sys/vm/{name} (ENOENT)";
            return false;
        }

        string[] words = text.Split([' ', '\t', '\n'], StringSplitOptions.RemoveEmptyEntries);
        if (words.Length == 0)
        {
            error = $"vm.{name}: nothing was written (EINVAL)";
            return false;
        }

        if (rule.Kind == VmSysctlKind.Text)
        {
            // One order is left; the kernel still takes its old names.
            error = words[0].Length != 0 && words[0][0] is 'd' or 'D' or 'n' or 'N' ? null : $"vm.{name}: '{words[0]}' is not Node or Default (EINVAL)";
            return error is null;
        }

        int slots = name == VmSysctlTable.LowmemReserveRatio ? _lowmemReserveRatio.Length : 1;
        long[] numbers = new long[Math.Min(slots, words.Length)];
        for (int i = 0; i < numbers.Length; i++)
        {
            if (!TryParse(words[i], out numbers[i]) || (rule.Kind == VmSysctlKind.Int && numbers[i] is < int.MinValue or > int.MaxValue))
            {
                error = $"vm.{name}: '{words[i]}' is not a number that fits (EINVAL)";
                return false;
            }

            if (checkRange && !InRange(rule, numbers[i], out error))
            {
                return false;
            }
        }

        Store(rule, numbers, checkRange);
        error = null;
        return true;
    }

    private static bool InRange(VmSysctlRule rule, long number, [NotNullWhen(false)] out string? error)
    {
        error = null;
        if (number < rule.Min || number > rule.Max)
        {
            string range = rule.Max is int.MaxValue or long.MaxValue ? $"at least {rule.Min}" : $"{rule.Min} to {rule.Max}";
            error = $"vm.{rule.Name}: {number} is out of range, {range} (EINVAL)";
        }
        else if (rule.Name == VmSysctlTable.PercpuPagelistHighFraction && number is not 0 and < SmallestHighFraction)
        {
            error = $"vm.{rule.Name}: {number} is neither 0 nor at least {SmallestHighFraction} (EINVAL)";
        }

        return error is null;
    }

    private void Store(VmSysctlRule rule, long[] numbers, bool written)
    {
        if (rule.Name == VmSysctlTable.LowmemReserveRatio)
        {
            int[] ratio = [.. _lowmemReserveRatio];
            for (int i = 0; i < numbers.Length; i++)
            {
                // What is below 1 keeps nothing back.
                ratio[i] = (int)Math.Max(numbers[i], 0);
            }

            _lowmemReserveRatio = ratio;
            return;
        }

        _values[rule.Name] = numbers;
        if (written && rule.Clears is not null)
        {
            _values[rule.Clears] = [0];
        }

        Publish();
        if (rule.Name == VmSysctlTable.MinFreeKbytes)
        {
            UserMinFreeKbytes = MinFreeKbytes;
        }
    }

    /// <summary>Copies what is read often out of the table.</summary>
    private void Publish()
    {
        MinFreeKbytes = Int(VmSysctlTable.MinFreeKbytes);
        WatermarkScaleFactor = Int(VmSysctlTable.WatermarkScaleFactor);
        WatermarkBoostFactor = Int(VmSysctlTable.WatermarkBoostFactor);
        PercpuPagelistHighFraction = Int(VmSysctlTable.PercpuPagelistHighFraction);
        OvercommitMemory = Int("overcommit_memory");
        MaxMapCount = Int("max_map_count");
        Swappiness = Int("swappiness");
    }

    private int Int(string name) => (int)_values[name][0];

    private static VmSysctlRule? Find(string name) => VmSysctlTable.Rules.FirstOrDefault(r => r.Name == name);

    private static int DefaultRatio(ZoneType type) => type switch
    {
        ZoneType.Dma or ZoneType.Dma32 => 256,
        ZoneType.Normal => 32,
        _ => 0,
    };

    /// <summary>Reads a number as the kernel's sysctl code does: a minus sign, then <c>0x</c>, a leading zero for octal, or decimal.</summary>
    private static bool TryParse(string word, out long value)
    {
        value = 0;
        bool negative = word[0] == '-';
        ReadOnlySpan<char> digits = word.AsSpan(negative ? 1 : 0);
        int radix = 10;
        if (digits.StartsWith("0x", StringComparison.OrdinalIgnoreCase))
        {
            radix = 16;
            digits = digits[2..];
        }
        else if (digits.Length > 1 && digits[0] == '0')
        {
            radix = 8;
            digits = digits[1..];
        }

        if (digits.IsEmpty)
        {
            return false;
        }

        foreach (char c in digits)
        {
            int digit = char.IsAsciiHexDigit(c) ? Convert.ToInt32(c.ToString(), 16) : radix;
            if (digit >= radix || value > (long.MaxValue - digit) / radix)
            {
                return false;
            }

            value = (value * radix) + digit;
        }

        value = negative ? -value : value;
        return true;
    }
}
