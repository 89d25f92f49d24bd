using FluentAssertions;
using Xunit;

namespace MemSim.Tests.PageAllocation;

public class GfpZonesTests
{
    [Theory]
    [InlineData(Architecture.X86_64, Gfp.HighUser, ZoneType.Normal)]
    [InlineData(Architecture.X86_64, Gfp.HighUserMovable, ZoneType.Movable)]
    [InlineData(Architecture.X86_64, Gfp.Movable, ZoneType.Normal)]
    [InlineData(Architecture.Arm64, Gfp.HighUser, ZoneType.Normal)]
    [InlineData(Architecture.Arm64, Gfp.Dma32, ZoneType.Dma32)]
    [InlineData(Architecture.X86_32, Gfp.HighUser, ZoneType.HighMem)]
    [InlineData(Architecture.X86_32, Gfp.HighUserMovable, ZoneType.Movable)]
    [InlineData(Architecture.X86_32, Gfp.Dma32, ZoneType.Normal)]
    [InlineData(Architecture.X86_32, Gfp.Dma32 | Gfp.Movable, ZoneType.Normal)]
    [InlineData(Architecture.X86_32Pae, Gfp.Dma, ZoneType.Dma)]
    [InlineData(Architecture.X86_32Pae, Gfp.Kernel, ZoneType.Normal)]
    public void Missing_zones_mean_normal(Architecture architecture, Gfp gfp, ZoneType zone)
    {
        ArchitectureInfo info = ArchitectureInfo.Of(architecture);
        GfpZones.HighestZone(gfp, info).Should().Be(zone);
        GfpZones.HighestZoneIndex(gfp, info).Should().Be(info.IndexOf(zone));
        ((int)GfpZones.ZoneIndexTable(info)[(int)(gfp & Gfp.ZoneMask)]).Should().Be(info.IndexOf(zone));
    }

    [Fact]
    public void Contradictory_modifiers_fall_to_dma()
    {
        foreach (Gfp gfp in new[] { Gfp.Dma | Gfp.Dma32, Gfp.Dma | Gfp.HighMem, Gfp.HighMem | Gfp.Dma32 | Gfp.Movable })
        {
            GfpZones.IsIllegal(gfp).Should().BeTrue();
            GfpZones.HighestZone(gfp, ArchitectureInfo.X86_64).Should().Be(ZoneType.Dma);
            GfpZones.HighestZone(gfp, ArchitectureInfo.X86_32).Should().Be(ZoneType.Dma);
        }
    }

    [Fact]
    public void Mobility_bits_are_the_migrate_type()
    {
        GfpZones.MigrateTypeOf(Gfp.Kernel).Should().Be(MigrateType.Unmovable);
        GfpZones.MigrateTypeOf(Gfp.HighUserMovable).Should().Be(MigrateType.Movable);
        GfpZones.MigrateTypeOf(Gfp.Kernel | Gfp.Reclaimable).Should().Be(MigrateType.Reclaimable);
        ((int)GfpZones.MigrateTypeOf(Gfp.Movable | Gfp.Reclaimable)).Should().Be(3);
    }
}
