using FluentAssertions;
using MemSim.Scenarios;
using Xunit;

namespace MemSim.Tests.Scenarios;

public class AccessStreamTests
{
    [Fact]
    public void Sequential_visits_every_page_in_order_and_starts_over()
    {
        Take(new AccessPattern(AccessKind.Sequential, 1), 4, 6).Should().Equal(0, 1, 2, 3, 0, 1);
        Take(new AccessPattern(AccessKind.Sequential, 3), 8, 9).Should().Equal(0, 3, 6, 1, 4, 7, 2, 5, 0);
        Take(new AccessPattern(AccessKind.Sequential, 5), 3, 4).Should().Equal(0, 1, 2, 0);
    }

    [Theory]
    [InlineData(0.7, 1000)]
    [InlineData(1.0, 1000)]
    [InlineData(1.3, 50)]
    [InlineData(2.5, 7)]
    public void Zipf_touches_the_kth_page_as_often_as_its_law_says(double s, int pages)
    {
        const int touches = 400_000;
        long[] counts = new long[pages];
        foreach (long page in Take(new AccessPattern(AccessKind.Zipf, s), pages, touches))
        {
            counts[page]++;
        }

        double sum = Enumerable.Range(1, pages).Sum(k => Math.Pow(k, -s));
        long[] byRank = [.. counts.OrderDescending()];
        for (int k = 1; k <= 5; k++)
        {
            double expected = touches * Math.Pow(k, -s) / sum;
            byRank[k - 1].Should().BeCloseTo((long)expected, (ulong)(5 * Math.Sqrt(expected)) + 1, $"rank {k}");
        }

        // Popular pages lie apart.
        long first = Array.IndexOf(counts, byRank[0]);
        first.Should().Be(0);
        counts[1].Should().BeLessThan(byRank[1] + 1);
    }

    [Fact]
    public void Zipf_ranks_map_to_pages_one_to_one()
    {
        foreach (int pages in (int[])[1, 2, 3, 64, 100, 997])
        {
            Take(new AccessPattern(AccessKind.Zipf, 0.01), pages, 40 * pages).Distinct().Should().HaveCount(pages);
        }
    }

    [Fact]
    public void Stack_like_stays_near_the_end_and_moves_a_frame_at_a_time()
    {
        long[] taken = Take(new AccessPattern(AccessKind.StackLike), 16, 10_000);
        taken[0].Should().Be(15);
        for (int i = 1; i < taken.Length; i++)
        {
            Math.Abs(taken[i] - taken[i - 1]).Should().BeLessThanOrEqualTo(1);
        }

        taken.Should().OnlyContain(p => p >= 0 && p < 16);
        taken.Distinct().Should().HaveCountGreaterThan(8);
    }

    [Fact]
    public void Hot_pages_get_their_share()
    {
        long[] taken = Take(new AccessPattern(AccessKind.HotCold, 0.1, 0.9), 100, 100_000);
        taken.Count(p => p < 10).Should().BeInRange(89_000, 91_000);
        taken.Distinct().Should().HaveCount(100);
    }

    [Fact]
    public void All_pages_hot_means_random() => Take(new AccessPattern(AccessKind.HotCold, 1, 0.5), 10, 1000).Distinct().Should().HaveCount(10);

    [Fact]
    public void A_seed_gives_the_same_pages_for_ever() =>
        Take(new AccessPattern(AccessKind.Zipf, 1.1), 1000, 12).Should().Equal(Pinned);

    [Fact]
    public void The_arithmetic_agrees_with_the_library_to_the_last_digits()
    {
        for (double x = 1e-6; x < 1e9; x *= 1.37)
        {
            DeterministicMath.Ln(x).Should().BeApproximately(Math.Log(x), 1e-14 * Math.Max(1, Math.Abs(Math.Log(x))));
        }

        for (double x = -80; x < 80; x += 0.731)
        {
            (DeterministicMath.Exp(x) / Math.Exp(x)).Should().BeApproximately(1, 1e-14);
        }
    }

    private static readonly long[] Pinned = [30, 238, 952, 857, 234, 0, 660, 758, 857, 772, 619, 237];

    private static long[] Take(AccessPattern pattern, int pages, int count)
    {
        AccessStream stream = new(pattern, pages);
        Xorshift64 random = new(7, 0);
        long[] taken = new long[count];
        for (int i = 0; i < count; i++)
        {
            taken[i] = stream.Next(ref random);
        }

        return taken;
    }
}
