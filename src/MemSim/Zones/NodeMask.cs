using System.Globalization;

namespace MemSim.Zones;

/// <summary>Sets of nodes as the kernel prints them.</summary>
internal static class NodeMask
{
    /// <summary>A list of ranges, as in <c>0-1,3</c>.</summary>
    public static string Format(ulong mask)
    {
        List<string> parts = [];
        for (int node = 0; node < 64; node++)
        {
            if ((mask >> node & 1) == 0)
            {
                continue;
            }

            int last = node;
            while (last < 63 && (mask >> (last + 1) & 1) != 0)
            {
                last++;
            }

            parts.Add(last == node ? node.ToString(CultureInfo.InvariantCulture) : string.Create(CultureInfo.InvariantCulture, $"{node}-{last}"));
            node = last;
        }

        return string.Join(',', parts);
    }
}
