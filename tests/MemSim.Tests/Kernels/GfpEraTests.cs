using FluentAssertions;
using Xunit;

namespace MemSim.Tests.Kernels;

public class GfpEraTests
{
    [Theory]
    [InlineData(LegacyGfp.None, Gfp.NoWait)]
    [InlineData(LegacyGfp.High, Gfp.Atomic)]
    [InlineData(LegacyGfp.NoIo, Gfp.NoIo)]
    [InlineData(LegacyGfp.NoFs, Gfp.NoFs)]
    [InlineData(LegacyGfp.Kernel, Gfp.Kernel)]
    [InlineData(LegacyGfp.User, Gfp.User)]
    [InlineData(LegacyGfp.HighUser, Gfp.HighUser)]
    [InlineData(LegacyGfp.HighUserMovable, Gfp.HighUserMovable)]
    [InlineData(LegacyGfp.Kernel | LegacyGfp.Cold | LegacyGfp.NoTrack, Gfp.Kernel)]
    [InlineData(LegacyGfp.Kernel | LegacyGfp.Repeat, Gfp.Kernel | Gfp.RetryMayFail)]
    [InlineData(LegacyGfp.Kernel | LegacyGfp.High, Gfp.Kernel | Gfp.High)]
    [InlineData(LegacyGfp.Temporary, Gfp.Kernel | Gfp.Reclaimable)]
    [InlineData(LegacyGfp.ThisNodeOnly, Gfp.ThisNode | Gfp.NoWarn | Gfp.NoRetry)]
    [InlineData((LegacyGfp)0x201da, Gfp.HighUserMovable)] // plus __GFP_COLD: page cache in a 3.10 report
    public void Old_flag_words_ask_for_the_same_today(LegacyGfp legacy, Gfp modern) => GfpEra.ToModern(legacy).Should().Be(modern);

    [Fact]
    public void Old_names_compile_as_members_of_Gfp()
    {
        (Gfp.Wait | Gfp.Io | Gfp.Fs).Should().Be(Gfp.Kernel);
        (Gfp.Kernel | Gfp.Repeat).Should().Be(Gfp.Kernel | Gfp.RetryMayFail);
        (Gfp.HighUserMovable | Gfp.Cold | Gfp.NoTrack).Should().Be(Gfp.HighUserMovable);
        Gfp.Temporary.Should().Be(Gfp.Kernel | Gfp.Reclaimable);
        Gfp.IoFs.Should().Be(Gfp.Io | Gfp.Fs);
        GfpEra.Wait.Should().Be(Gfp.Reclaim);
    }

    [Fact]
    public void Descriptions_name_what_each_flag_became()
    {
        GfpEra.Describe(LegacyGfp.Wait | LegacyGfp.Cold | LegacyGfp.Repeat | (LegacyGfp)0x2000).Split('\n').Should().Equal(
            "Wait -> __GFP_DIRECT_RECLAIM (4.4: split from waking kswapd, which was always allowed)",
            "Cold -> nothing (removed in 4.15)",
            "Repeat -> __GFP_RETRY_MAYFAIL (renamed in 4.13)",
            "0x2000 -> nothing (was no flag)",
            "together: GFP_NOIO|__GFP_RETRY_MAYFAIL");
        GfpEra.Describe(LegacyGfp.None).Should().Be("together: GFP_NOWAIT");
    }
}
