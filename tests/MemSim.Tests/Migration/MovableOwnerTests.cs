using FluentAssertions;
using Xunit;

namespace MemSim.Tests.Migration;

public class MovableOwnerTests
{
    [Fact]
    public void An_owner_leaves_the_machine_once_it_has_no_page_and_adopts_none_afterwards()
    {
        using Machine machine = Machine.Boot(MachineSpec.X86_64("128M"));
        Cpu cpu = machine.Cpus[0];
        MovableOwner owner = machine.Migration.RegisterMovableOwner(new Stays());
        Page page = cpu.AllocPage(Gfp.HighUser | Gfp.Movable);
        owner.Adopt(page, 7);

        owner.Invoking(o => o.Unregister()).Should().Throw<InvalidOperationException>().WithMessage("*still has 1 pages*");
        owner.Disown(page);
        owner.Unregister();
        owner.Unregister();

        owner.Invoking(o => o.Adopt(page)).Should().Throw<ObjectDisposedException>();
        cpu.FreePage(page);
        machine.Verify();
    }

    [Fact]
    public void A_pool_adopts_pages_that_somebody_else_allocated_and_finds_them_where_they_were_moved()
    {
        using Machine machine = Machine.Boot(MachineSpec.X86_64("128M"));
        Cpu cpu = machine.Cpus[0];
        MovablePool pool = machine.Migration.CreateMovablePool();
        Page page = cpu.AllocPage(Gfp.HighUser | Gfp.Movable);

        int number = pool.Adopt(page);

        pool[number].Should().Be(page);
        pool.Count.Should().Be(1);
        machine.Verify();
    }

    private sealed class Stays : IMovableOwner
    {
        public bool Isolate(Page page) => false;

        public bool Migrate(Page from, Page to, MigrationMode mode) => false;

        public void PutBack(Page page)
        {
        }
    }
}
