using FluentAssertions;
using MemSim.Kernels;
using Xunit;

namespace MemSim.Tests.Kernels;

public class KernelChoiceTests
{
    [Theory]
    [InlineData("Linux (none) 6.1.0-56-amd64 #1 SMP PREEMPT_DYNAMIC Debian 6.1.192-2 (2026-11-16) x86_64 GNU/Linux", "6.1")]
    [InlineData("Linux (none) 6.12.117+deb12-amd64 #1 SMP PREEMPT_DYNAMIC Debian 6.12.117-1~deb12u1 x86_64", "6.12")]
    [InlineData("Linux version 6.1.0-50-686 (debian-kernel@lists.debian.org) (gcc-12 (Debian 12.2.0-14+deb12u1) 12.2.0)", "6.1")]
    [InlineData("Linux (none) 6.18.15+deb13-amd64 #1 SMP PREEMPT_DYNAMIC Debian 6.18.15-1~bpo13+1", "6.18")]
    [InlineData("Debian linux 7.3.4-1~bpo13+1 (7.3.4+deb13-amd64)", "7.3")]
    [InlineData("7.0", "7.0")]
    [InlineData("7.3-rc1", "7.3")]
    [InlineData("6.1.0-50-686-pae", "6.1")]
    [InlineData("Linux version 6.1.0-13-arm64 (x@y) (gcc 12.2.0-14+own) #1", "6.1")]
    [InlineData("6.1.0-0.deb11.5-amd64", "6.1")]
    public void A_recorded_kernel_has_its_own_line_and_nothing_to_say(string text, string line)
    {
        KernelChoice choice = KernelChoice.For(text);

        choice.Line.Name.Should().Be(line);
        choice.Warnings.Should().BeEmpty();
    }

    [Theory]
    [InlineData("[    0.000000] Linux version 6.8-rc1 (x@y)", "6.1", "6.8")]
    [InlineData("6.13.4", "6.12", "6.13")]
    [InlineData("6.16.0", "6.12", "6.16")]
    [InlineData("7.9.1", "7.3", "7.9")]
    [InlineData("8.0.0", "7.3", "8.0")]
    public void A_version_between_takes_the_nearest_older_line_and_says_so(string text, string line, string named)
    {
        KernelChoice choice = KernelChoice.For(text);

        choice.Line.Name.Should().Be(line);
        choice.Warnings.Should().ContainSingle().Which.Should().Contain($"Linux {named} ").And.Contain($"Linux {line}");
    }

    [Theory]
    [InlineData("5.14.0", 0, 1024, true, false, "serve no others, not even as a last resort")]
    [InlineData("5.10.0", 6, 1024, true, false, "6 x batch")]
    [InlineData("4.19.0", 6, 512, true, false, "at most 31")]
    [InlineData("4.4.0", 6, 512, false, false, "min + min/2")]
    [InlineData("3.13.0", 6, 512, false, true, "halves the limit")]
    [InlineData("2.6.32", 6, 512, false, true, "halves the limit")]
    public void An_older_kernel_says_what_is_known_to_differ_and_does_it(string text, int batches, int batchKiB, bool scales, bool halves, string said)
    {
        KernelChoice choice = KernelChoice.For(text);

        choice.Line.Reserves.PcpHighInBatches.Should().Be(batches);
        choice.Line.Reserves.PcpBatchLimitKiB.Should().Be(batchKiB);
        choice.Line.Reserves.ScalesWatermarkDistance.Should().Be(scales);
        choice.Line.Allocator.HalvesLimitWithOrder.Should().Be(halves);
        choice.Line.Allocator.HasHighAtomicReserve.Should().Be(!halves, "these rules changed in 4.4");
        choice.Line.Allocator.HighAtomicIsLastResort.Should().BeFalse();
        choice.Line.Allocator.WaitlessTriesHarder.Should().Be(halves);
        choice.Warnings.Should().ContainSingle().Which.Should().Contain("rules of Linux 6.1").And.Contain(said);
    }

    [Theory]
    [InlineData("3.10.0-1160.el7.x86_64", "3.10")]
    [InlineData("2.6.32-754.el6.x86_64", "2.6")]
    [InlineData("4.18.0-553.el8_10.x86_64", "4.18")]
    [InlineData("5.4.0-150-generic", "5.4")]
    public void Warnings_about_an_old_kernel_of_a_vendor_do_not_contradict_each_other(string text, string line)
    {
        KernelChoice choice = KernelChoice.For(text);

        choice.Line.Name.Should().Be(line);
        choice.Warnings.Should().HaveCount(2);
        choice.Warnings.Where(w => w.Contains("rules", StringComparison.Ordinal)).Should().ContainSingle("two sentences about whose rules are followed cannot both hold")
            .Which.Should().Contain("the rules of Linux 6.1 are used but for what is known to differ");
    }

    [Theory]
    [InlineData("Linux version 5.14.0-325.el9.x86_64 (mockbuild@x)", "Red Hat Enterprise Linux 9")]
    [InlineData("Linux version 6.1.75-android14-11-g1234567", "Android")]
    [InlineData("Linux version 6.8.0-45-generic (buildd@lcy02) #45-Ubuntu SMP", "Ubuntu")]
    [InlineData("6.12.0-55.el10.x86_64", "Red Hat Enterprise Linux 10")]
    [InlineData("6.1.0-rt12-amd64", "real-time")]
    [InlineData("Linux version 6.18.44-fc-v782 (builder@sandboxing) (gcc (GCC) 15.3.0, GNU ld (GNU Binutils) 2.46) #1 SMP", "6.18.44-fc-v782")]
    [InlineData("Linux vm 5.10.160-rockchip-rk3588 #1 SMP aarch64", "5.10.160-rockchip-rk3588")]
    [InlineData("6.6.119-09531-g0ac7f4a1c1e9", "6.6.119-09531-g0ac7f4a1c1e9")]
    [InlineData("4.18.0-513.5.1.el8_9.x86_64", "Red Hat Enterprise Linux 8")]
    [InlineData("5.14.0-427.13.1.el9_4.x86_64", "Red Hat Enterprise Linux 9")]
    [InlineData("3.10.0-1160.119.1.el7.x86_64", "Red Hat Enterprise Linux 7")]
    [InlineData("5.15.0-202.135.2.el9uek.x86_64", "Oracle UEK")]
    [InlineData("6.8.0-1021-aws", "Ubuntu for AWS")]
    [InlineData("5.15.0-1075-azure", "Ubuntu for Azure")]
    [InlineData("6.8.0-1018-gcp", "Ubuntu for Google Cloud")]
    [InlineData("6.8.0-1013-raspi", "Ubuntu for Raspberry Pi")]
    [InlineData("5.14.21-150500.55.83-default", "SUSE")]
    [InlineData("6.4.0-150600.23.25-azure (geeko@buildhost)", "SUSE")]
    [InlineData("6.12.0-160000.5-rt", "real-time")]
    [InlineData("Linux version 6.1.112+ (builder@localhost) (Chromium OS 17.0_pre498229-r33 clang version 17.0.0)", "Container-Optimized OS or ChromiumOS")]
    [InlineData("5.15.154-chromeos-02912", "Container-Optimized OS or ChromiumOS")]
    [InlineData("6.1.112+", "changed sources")]
    [InlineData("4.14.355-275.572.amzn2.x86_64", "Amazon Linux")]
    [InlineData("6.1.109-118.189.amzn2023.x86_64", "Amazon Linux")]
    [InlineData("5.10.198-android13-4-00050-g12f3388846c3-ab11920634", "Android")]
    [InlineData("6.6.51+rpt-rpi-v8", "Raspberry Pi OS")]
    [InlineData("6.6.51+rpt-rpi-2712", "16 KiB")]
    [InlineData("6.1.21-v8+", "Raspberry Pi OS")]
    [InlineData("5.15.153.1-microsoft-standard-WSL2", "WSL 2")]
    [InlineData("6.6.32-linuxkit", "Docker Desktop")]
    [InlineData("6.6.48-flatcar", "Flatcar")]
    [InlineData("6.10.12-200.fc40.x86_64", "Fedora")]
    [InlineData("6.11.3-arch1-1", "Arch Linux")]
    [InlineData("6.8.12-2-pve", "Proxmox")]
    [InlineData("6.6.0-28.0.0.34.oe2403.x86_64", "openEuler")]
    [InlineData("5.10.134-16.3.al8.x86_64", "Alibaba Cloud Linux")]
    [InlineData("5.10.104-tegra", "NVIDIA Tegra")]
    public void A_vendors_kernel_is_named(string text, string vendor) =>
        KernelChoice.For(text).Warnings.Should().Contain(w => w.Contains(vendor, StringComparison.Ordinal) && w.Contains("Debian's", StringComparison.Ordinal));

    [Theory]
    [InlineData("")]
    [InlineData("Linux")]
    [InlineData("v. x.y")]
    public void A_text_without_a_version_is_an_error(string text)
    {
        Action parse = () => KernelPersonality.Parse(text);
        parse.Should().Throw<FormatException>();

        Action boot = () => MachineSpec.X86_64("256M").WithKernel(text);
        boot.Should().Throw<ArgumentException>().WithMessage("no kernel version*");
    }

    [Fact]
    public void A_machine_carries_the_rules_and_the_warnings_of_its_kernel()
    {
        using Machine recorded = Machine.Boot(MachineSpec.X86_64("256M").WithKernel("7.3"));
        using Machine between = Machine.Boot(MachineSpec.X86_64("256M").WithKernel("6.15"));
        using Machine usual = Machine.Boot(MachineSpec.X86_64("256M"));

        recorded.Personality.Should().BeSameAs(KernelLines.Linux7_3);
        recorded.Warnings.Should().BeEmpty();
        between.Personality.Should().BeSameAs(KernelLines.Linux6_12);
        between.Warnings.Should().ContainSingle().Which.Should().Contain("6.15");
        usual.Personality.Should().BeSameAs(KernelLines.Linux6_1);
        usual.Warnings.Should().BeEmpty();
    }

    [Fact]
    public void Each_line_differs_from_the_one_before_and_reads_as_itself()
    {
        KernelLines.All.Select(l => l with { Name = "", Recorded = "" }).Should().OnlyHaveUniqueItems();
        KernelLines.All.Should().OnlyContain(l => KernelPersonality.Parse(l.Name) == l);
    }

    [Fact]
    public void Versions_are_found_in_text_and_compared_by_number()
    {
        KernelVersion.TryFind("Linux version 6.12.3 (x@y)", out KernelVersion found).Should().BeTrue();
        KernelVersion old = new(6, 9);

        found.Should().Be(new KernelVersion(6, 12));
        (old < found).Should().BeTrue("9 is less than 12, though not as text");
        (old <= found && found > old && found >= old).Should().BeTrue();
        (found < old || found <= old).Should().BeFalse();
        KernelVersion.TryFind("no version here", out _).Should().BeFalse();
    }
}
