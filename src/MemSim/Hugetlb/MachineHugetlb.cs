using System.Globalization;
using MemSim.Hardware;
using MemSim.Hugetlb;

namespace MemSim;

/// <summary>Huge pages kept aside (<c>/sys/kernel/mm/hugepages</c>): the pools behind <see cref="MapFlags.HugeTlb"/> and hugetlbfs. <see cref="Machine.Hugetlb"/>.</summary>
/// <remarks>Transparent huge pages, which need no pool, are <see cref="Machine.HugePages"/>.</remarks>
public sealed class MachineHugetlb
{
    private readonly Machine _machine;

    internal MachineHugetlb(Machine machine, bool gigabytePages, ByteSize? defaultSize)
    {
        _machine = machine;
        Pools = MakePools(machine, gigabytePages);
        ByteSize entry = new((ulong)PageGeometry.PageSize << PteLayout.HugeOrderOf(machine.Architecture.Architecture));
        ByteSize usual = defaultSize ?? entry;
        Pool = Pools.FirstOrDefault(pool => pool.PageSize == usual) ?? PoolOf(entry)!;
    }

    /// <summary>The pools by size, the largest first: as the architecture has them.</summary>
    public IReadOnlyList<HugetlbPool> Pools { get; }

    /// <summary>The pool of the default size (<c>vm.nr_hugepages</c>, <c>default_hugepagesz=</c>).</summary>
    public HugetlbPool Pool { get; }

    /// <summary>The pool of a size.</summary>
    /// <param name="size">Bytes of a page.</param>
    /// <returns>Null when the architecture has no such pages.</returns>
    public HugetlbPool? PoolOf(ByteSize size) => Pools.FirstOrDefault(pool => pool.PageSize == size);

    /// <summary>Named files of huge pages, on all mounted hugetlbfs.</summary>
    internal HashSet<HugetlbFile> Files { get; } = [];

    /// <summary>Adds the pools up for <c>Hugetlb</c> of meminfo and the commit limit.</summary>
    internal void CountPools()
    {
        long pages = 0;
        foreach (HugetlbPool pool in Pools)
        {
            pages += pool.Total << pool.Order;
        }

        _machine.SystemFigures.HugetlbPages = pages;
    }

    internal void VerifyPools()
    {
        foreach (HugetlbPool pool in Pools)
        {
            pool.Verify();
        }
    }

    /// <summary>Small pages that all pools took from a zone, as the frames tell.</summary>
    internal long PooledPagesIn(Zone zone) => Pools.Sum(pool => pool.PagesIn(zone));

    /// <summary>Carries <c>hugepagesz=</c> and <c>hugepages=</c> out (<c>hugetlb_init()</c>).</summary>
    /// <returns>What the kernel says about it.</returns>
    internal List<string> FillAtBoot(Cpu cpu, IReadOnlyList<(Pfn Start, long Pages)> gigantic, IReadOnlyList<HugePagesParameter> parameters)
    {
        List<string> log = [];
        foreach ((Pfn start, long pages) in gigantic)
        {
            PoolOf(new ByteSize((ulong)pages << PageGeometry.PageShift))!.AddGigantic((int)start.Value);
        }

        HashSet<HugetlbPool> asked = [];
        foreach (HugePagesParameter wanted in parameters)
        {
            HugetlbPool? pool = wanted.PageSize.Bytes == 0 ? Pool : PoolOf(wanted.PageSize);
            if (pool is null)
            {
                log.Add($"HugeTLB: unsupported hugepagesz={wanted.PageSize.Bytes >> 10}K");
            }
            else if (asked.Add(pool) && !pool.IsGigantic)
            {
                long got = wanted.Nodes.Count == 0 ? pool.FillAtBoot(cpu, wanted.Pages, null) : wanted.Nodes.Sum(on => pool.FillAtBoot(cpu, on.Pages, on.Node));
                if (got < wanted.Pages)
                {
                    log.Add($"HugeTLB: allocating {wanted.Pages} of page size {Text(pool)} failed.  Only allocated {got} hugepages.");
                }
            }
        }

        foreach (HugetlbPool pool in Pools.OrderBy(pool => asked.Contains(pool) ? asked.ToList().IndexOf(pool) : int.MaxValue))
        {
            // A page's own descriptors could be mapped to one page of them, where the kernel is built for that.
            long spare = _machine.Architecture.Architecture == Architecture.X86_64 ? (64L << pool.Order >> 10) - 4 : 0;
            log.Add($"HugeTLB: registered {Text(pool)} page size, pre-allocated {pool.Free} pages");
            log.Add($"HugeTLB: {spare} KiB vmemmap can be freed for a {Text(pool)} page");
        }

        return log;
    }

    /// <summary>A size as <c>string_get_size()</c> prints it.</summary>
    internal static string SizeText(ByteSize size)
    {
        (ulong number, string unit) = size.Bytes >= 1 << 30 ? (size.Bytes >> 30, "GiB") : size.Bytes >= 1 << 20 ? (size.Bytes >> 20, "MiB") : (size.Bytes >> 10, "KiB");
        return string.Create(CultureInfo.InvariantCulture, $"{(number < 10 ? $"{number}.00" : number < 100 ? $"{number}.0" : $"{number}")} {unit}");
    }

    private static string Text(HugetlbPool pool) => SizeText(pool.PageSize);

    private static HugetlbPool[] MakePools(Machine machine, bool gigabytePages)
    {
        int[] orders = OrdersOf(machine.Architecture.Architecture, gigabytePages);
        return [.. orders.Select(order => new HugetlbPool(machine, order))];
    }

    /// <summary>The sizes of an architecture as log2 of their small pages, the largest first.</summary>
    internal static int[] OrdersOf(Architecture architecture, bool gigabytePages) => architecture switch
    {
        Architecture.X86_64 => gigabytePages ? [18, 9] : [9],
        Architecture.Arm64 => PageGeometry.HighestLeaf == 3
            ? [PageGeometry.GiantOrder, PageGeometry.HugeOrder + PageGeometry.ContiguousHugePages, PageGeometry.HugeOrder, PageGeometry.ContiguousPages]
            : PageGeometry.ContiguousPages == 0 ? [PageGeometry.HugeOrder]
            : [PageGeometry.HugeOrder + PageGeometry.ContiguousHugePages, PageGeometry.HugeOrder, PageGeometry.ContiguousPages],
        _ => [PteLayout.HugeOrderOf(architecture)],
    };
}
