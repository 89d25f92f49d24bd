using System.Globalization;

namespace MemSim.Reports.Explaining;

/// <summary>Amounts of memory as people read them.</summary>
internal static class Amount
{
    /// <summary>Pages with what they are: <c>1234 pages (4.8 MiB)</c>.</summary>
    public static string Pages(long pages, int pageKiB) => string.Create(CultureInfo.InvariantCulture, $"{pages} {(pages == 1 ? "page" : "pages")} ({KiB(pages * pageKiB)})");

    /// <summary>KiB in the unit that fits.</summary>
    public static string KiB(long kib) => Math.Abs(kib) switch
    {
        < 10 << 10 => string.Create(CultureInfo.InvariantCulture, $"{kib} KiB"),
        < 10 << 20 => string.Create(CultureInfo.InvariantCulture, $"{kib / 1024.0:0.#} MiB"),
        _ => string.Create(CultureInfo.InvariantCulture, $"{kib / 1048576.0:0.#} GiB"),
    };

    /// <summary>Size of a block of an order.</summary>
    public static string Block(int order, int pageKiB) => order > 40 ? "?" : KiB((long)pageKiB << order);
}
