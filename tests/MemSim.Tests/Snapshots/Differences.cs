using System.Globalization;
using System.Security.Cryptography;
using System.Text;
using Xunit;

namespace MemSim.Tests.Snapshots;

/// <summary>Long texts compared: the first line that differs, with what stands before it.</summary>
internal static class Differences
{
    public static void None(string text, string expected, string what)
    {
        if (text == expected)
        {
            return;
        }

        string[] mine = text.Split('\n');
        string[] theirs = expected.Split('\n');
        int line = Enumerable.Range(0, Math.Min(mine.Length, theirs.Length)).FirstOrDefault(i => mine[i] != theirs[i], Math.Min(mine.Length, theirs.Length) - 1);
        Assert.Fail($"{what}, line {line}:\ncopy     {mine[line]}\noriginal {theirs[line]}\nafter    {string.Join('\n', theirs[Math.Max(0, line - 5)..line])}");
    }

    /// <summary>Each frame that holds something else than zeroes, with a hash of it.</summary>
    public static string ContentsOf(Machine machine)
    {
        StringBuilder text = new();
        for (long pfn = 0; pfn < machine.Frames.Count && pfn << 12 < (long)machine.Ram.Bytes; pfn++)
        {
            ReadOnlySpan<byte> page = machine.Ram.ReadOnly((ulong)pfn << 12, 4096);
            if (page.ContainsAnyExcept((byte)0))
            {
                text.Append(CultureInfo.InvariantCulture, $"{pfn:x} {Convert.ToHexString(SHA256.HashData(page))}\n");
            }
        }

        return text.ToString();
    }
}
