using FluentAssertions;
using MemSim.CompressedMemory;
using Xunit;

namespace MemSim.Tests.CompressedMemory;

/// <summary>Compressors: what they write can be read again, lengths are those of the kernel's, and nothing that lies in simulated memory makes them read or write outside.</summary>
public sealed class CompressorTests
{
    private const int PageBytes = PageGeometry.PageSize;

    public static TheoryData<string> Names => ["lz4", "lzo"];

    [Theory]
    [MemberData(nameof(Names))]
    public void Every_page_comes_back_as_it_was(string name)
    {
        PageCompressor compressor = PageCompressor.Find(name)!;
        Random random = new(18);
        byte[] page = new byte[PageBytes];
        byte[] back = new byte[PageBytes];
        byte[] buffer = new byte[PageCompressor.LargestOutput];
        for (int round = 0; round < 3000; round++)
        {
            Fill(page, random, round);
            int length = compressor.Compress(page, buffer);

            compressor.TryDecompress(buffer.AsSpan(0, length), back).Should().BeTrue();
            back.AsSpan().SequenceEqual(page).Should().BeTrue($"round {round}");
        }
    }

    [Theory]
    [InlineData("lz4", 2081.8, 0.002)]
    [InlineData("lzo", 2212.5, 0.002)]
    public void Half_random_pages_become_as_long_as_recorded(string name, double recorded, double tolerance)
    {
        // zram of 7.3.4: compr_data_size 115813000 of 55631 pages; zswap of 6.1 and 7.3: 2212 and 2213 bytes a page.
        PageCompressor compressor = PageCompressor.Find(name)!;
        Random random = new(1);
        byte[] page = new byte[PageBytes];
        byte[] buffer = new byte[PageCompressor.LargestOutput];
        long sum = 0;
        const int Pages = 200;
        for (int i = 0; i < Pages; i++)
        {
            random.NextBytes(page.AsSpan(0, PageBytes / 2));
            sum += compressor.Compress(page, buffer);
        }

        (sum / (double)Pages).Should().BeApproximately(recorded, recorded * tolerance);
    }

    [Theory]
    [MemberData(nameof(Names))]
    public void Random_pages_do_not_compress_and_pages_of_one_byte_nearly_vanish(string name)
    {
        PageCompressor compressor = PageCompressor.Find(name)!;
        byte[] buffer = new byte[PageCompressor.LargestOutput];
        byte[] page = new byte[PageBytes];
        compressor.Compress(page, buffer).Should().BeLessThan(60);
        new Random(3).NextBytes(page);

        compressor.Compress(page, buffer).Should().BeInRange(PageBytes, PageBytes + 64);
        PageCompressor.Find("zstd").Should().BeNull();
    }

    [Theory]
    [MemberData(nameof(Names))]
    public void Damaged_bytes_are_refused_or_make_some_page_and_nothing_else(string name)
    {
        PageCompressor compressor = PageCompressor.Find(name)!;
        Random random = new(7);
        byte[] page = new byte[PageBytes];
        byte[] buffer = new byte[PageCompressor.LargestOutput];
        byte[] back = new byte[PageBytes];
        int refused = 0;
        for (int round = 0; round < 20_000; round++)
        {
            Fill(page, random, round);
            int length = compressor.Compress(page, buffer);
            switch (round % 3)
            {
                case 0:
                    buffer[random.Next(length)] ^= (byte)(1 << random.Next(8));
                    break;
                case 1:
                    length = random.Next(length);
                    break;
                default:
                    random.NextBytes(buffer.AsSpan(0, length));
                    break;
            }

            refused += compressor.TryDecompress(buffer.AsSpan(0, length), back) ? 0 : 1;
        }

        refused.Should().BeGreaterThan(12_000);
        compressor.TryDecompress([], back).Should().BeFalse();
    }

    /// <summary>Pages of several kinds: random, text, words of few values, runs.</summary>
    private static void Fill(byte[] page, Random random, int round)
    {
        switch (round % 5)
        {
            case 0:
                random.NextBytes(page);
                page.AsSpan(random.Next(PageBytes)).Clear();
                break;
            case 1:
                for (int i = 0; i < page.Length; i++)
                {
                    page[i] = (byte)"the kernel swaps pages "[(i + random.Next(3)) % 23];
                }

                break;
            case 2:
                for (int i = 0; i < page.Length; i++)
                {
                    page[i] = (byte)random.Next(1 + (round % 7));
                }

                break;
            case 3:
                for (int i = 0; i < page.Length;)
                {
                    int run = Math.Min(1 + random.Next(700), page.Length - i);
                    page.AsSpan(i, run).Fill((byte)random.Next(256));
                    i += run;
                }

                break;
            default:
                int period = 1 + random.Next(2000);
                random.NextBytes(page.AsSpan(0, period));
                for (int i = period; i < page.Length; i++)
                {
                    page[i] = page[i - period];
                }

                break;
        }
    }
}
