using FluentAssertions;
using Xunit;

namespace MemSim.Tests.PageAllocation;

public class GfpTextTests
{
    [Theory]
    [InlineData(Gfp.None, "none")]
    [InlineData(Gfp.Kernel | Gfp.Zero, "GFP_KERNEL|__GFP_ZERO")]
    [InlineData(Gfp.TransHuge, "GFP_TRANSHUGE")]
    [InlineData(Gfp.TransHugeLight | Gfp.NoRetry, "GFP_TRANSHUGE_LIGHT|__GFP_NORETRY")]
    [InlineData(Gfp.Atomic | Gfp.Dma32, "GFP_ATOMIC|GFP_DMA32")]
    [InlineData(Gfp.AtomicBit, "__GFP_ATOMIC")]
    [InlineData(Gfp.DirectReclaim, "__GFP_DIRECT_RECLAIM")]
    [InlineData(Gfp.Kernel | (Gfp)0x4000000, "GFP_KERNEL|0x4000000")]
    [InlineData((Gfp)0x8000000, "0x8000000")]
    public void Flags_print_as_the_kernel_prints_them(Gfp gfp, string text)
    {
        GfpText.Format(gfp).Should().Be(text);
        GfpText.Parse(text).Should().Be(gfp);
    }

    [Theory]
    [InlineData(Gfp.Kernel | Gfp.Zero, "0xdc0(GFP_KERNEL|__GFP_ZERO)")]
    [InlineData(Gfp.HighUserMovable | Gfp.Comp | Gfp.Zero, "0x140dca(GFP_HIGHUSER_MOVABLE|__GFP_COMP|__GFP_ZERO)")]
    [InlineData(Gfp.None, "0x0()")]
    public void Reports_have_the_number_in_front(Gfp gfp, string text)
    {
        GfpText.FormatWithHex(gfp).Should().Be(text);
        GfpText.Parse(text).Should().Be(gfp);
    }

    [Theory]
    [InlineData("Kernel|Zero", Gfp.Kernel | Gfp.Zero)]
    [InlineData("Gfp.Atomic | Gfp.NoWarn", Gfp.Atomic | Gfp.NoWarn)]
    [InlineData("atomicbit", Gfp.AtomicBit)]
    [InlineData("0x28c0", Gfp.Kernel & ~Gfp.DirectReclaim | Gfp.NoWarn)]
    [InlineData("28c0", Gfp.Kernel & ~Gfp.DirectReclaim | Gfp.NoWarn)]
    [InlineData("__GFP_DMA|GFP_NOWAIT", Gfp.Dma | Gfp.NoWait)]
    public void Other_spellings_are_read(string text, Gfp gfp) => GfpText.Parse(text).Should().Be(gfp);

    [Theory]
    [InlineData("")]
    [InlineData("GFP_KERNEL|")]
    [InlineData("GFP_KERNLE")]
    [InlineData("Kernel,Zero")]
    [InlineData("0x100000000")]
    [InlineData("-1")]
    [InlineData("0xdc0(GFP_KERNEL)")]
    [InlineData("0xdc0(GFP_KERNEL|__GFP_ZERO")]
    [InlineData("xyz(GFP_KERNEL)")]
    public void What_is_no_flag_list_is_refused(string text)
    {
        GfpText.TryParse(text, out Gfp gfp).Should().BeFalse();
        gfp.Should().Be(Gfp.None);
        FluentActions.Invoking(() => GfpText.Parse(text)).Should().Throw<FormatException>().WithMessage($"*'{text}'*");
    }

    [Fact]
    public void Every_word_of_27_bits_survives_printing_and_reading()
    {
        Random random = new(1);
        for (int i = 0; i < 2000; i++)
        {
            Gfp gfp = (Gfp)random.Next(1 << 27);
            GfpText.Parse(GfpText.Format(gfp)).Should().Be(gfp);
            GfpText.Parse(GfpText.FormatWithHex(gfp)).Should().Be(gfp);
        }
    }
}
