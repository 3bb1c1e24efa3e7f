"""Body files: what is read of them, and that nothing in them runs."""

import io
import os
import pickle
import sys
import types
import zipfile
from typing import ClassVar

import numpy as np
import pytest
import scipy.sparse

from hybrik_ros.body import DEFAULT_BODY, BodyModel
from hybrik_ros.body.reading import UnsafeFileError


@pytest.fixture(scope='module')
def arrays():
    """The default body."""
    with np.load(DEFAULT_BODY) as stored:
        return {name: stored[name] for name in stored.files if stored[name].ndim}


def save(path, content, protocol=2):
    path.write_bytes(pickle.dumps(content, protocol=protocol))
    return path


def assert_same_body(body, arrays):
    default = BodyModel.load()
    betas = np.random.default_rng(0).normal(size=default.num_betas)
    assert body.rest_joints(betas) == pytest.approx(default.rest_joints(betas), abs=1e-12)
    assert np.array_equal(body.faces, arrays['f'])
    upright = np.tile(np.eye(3), (24, 1, 1))
    vertices = (x.vertices(upright, betas, np.zeros(3)) for x in (body, default))
    assert np.abs(np.subtract(*vertices)).max() < 1e-6


# Files as they should be


@pytest.mark.parametrize('protocol', range(pickle.HIGHEST_PROTOCOL + 1))
def test_pickles_of_any_protocol_hold_the_same_body(arrays, tmp_path, protocol):
    path = save(tmp_path / 'smpl.pkl', arrays, protocol)
    assert_same_body(BodyModel.load(path), arrays)


@pytest.mark.parametrize('protocol', range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize('layout', ['csc', 'csr', 'coo'])
@pytest.mark.parametrize('kind', ['matrix', 'array'])
def test_sparse_regressors_are_read(arrays, tmp_path, layout, kind, protocol):
    build = getattr(scipy.sparse, f'{layout}_{kind}')
    content = {**arrays, 'J_regressor': build(arrays['J_regressor'])}
    assert_same_body(BodyModel.load(save(tmp_path / 'smpl.pkl', content, protocol)), arrays)


def test_npz_and_pickle_of_any_memory_layout_are_read(arrays, tmp_path):
    odd = {name: np.asfortranarray(array) for name, array in arrays.items()}
    odd['shapedirs'] = arrays['shapedirs'].astype('>f8')
    odd['f'] = arrays['f'].astype(np.int64)
    np.savez(tmp_path / 'smpl.npz', **odd)
    for path in (tmp_path / 'smpl.npz', save(tmp_path / 'smpl.pkl', odd)):
        assert_same_body(BodyModel.load(path), arrays)


def test_a_body_is_called_after_its_file(arrays, tmp_path):
    body = BodyModel.load(str(save(tmp_path / 'basicModel_f.pkl', arrays)))
    assert body.name == 'basicModel_f'
    assert BodyModel.load().name == 'default'


@pytest.mark.parametrize('root', [2**32 - 1, 0])
def test_the_roots_parent_may_be_anything(arrays, tmp_path, root):
    table = arrays['kintree_table'].astype(np.int64)
    table[0, 0] = root
    for stored in (table, table.astype(np.uint32)):
        content = {**arrays, 'kintree_table': stored}
        assert_same_body(BodyModel.load(save(tmp_path / 'smpl.pkl', content)), arrays)


@pytest.fixture
def chumpy(monkeypatch):
    """Modules by the names of chumpy's, there for pickling only."""
    modules = {name: types.ModuleType(name) for name in ('chumpy.ch', 'chumpy.reordering')}

    def make(module, name):
        made = type(name, (), {'__module__': module})
        setattr(modules[module], name, made)
        return made

    made = types.SimpleNamespace(
        Ch=make('chumpy.ch', 'Ch'),
        MatVecMult=make('chumpy.ch', 'MatVecMult'),
        Select=make('chumpy.reordering', 'Select'),
    )
    for name, module in modules.items():
        monkeypatch.setitem(sys.modules, name, module)
    monkeypatch.setitem(sys.modules, 'chumpy', types.ModuleType('chumpy'))
    return made


def save_with(folder, arrays, **others):
    return save(folder / 'smpl.pkl', {**arrays, **others})


def stated(kind, **state):
    made = kind()
    made.__dict__.update(state)
    return made


def as_chumpy(chumpy, arrays):
    """The arrays as the official files have them."""
    directions = np.concatenate([arrays['shapedirs'], arrays['shapedirs']], axis=-1)
    size = directions.size
    first_ten = np.arange(size).reshape(directions.shape)[..., :10].ravel()
    template = stated(chumpy.Ch, x=arrays['v_template'], _dirty_vars=set(), _itr=None)
    return {
        **arrays,
        'v_template': template,
        'weights': stated(chumpy.Ch, x=arrays['weights'].astype(float)),
        'shapedirs': stated(
            chumpy.Select,
            a=stated(chumpy.Ch, x=directions),
            idxs=first_ten,
            preferred_shape=arrays['shapedirs'].shape,
        ),
        'J_regressor': scipy.sparse.csc_matrix(arrays['J_regressor']),
        # Not needed, and no plain arrays.
        'J': stated(chumpy.MatVecMult, mtx=arrays['J_regressor'], vec=template),
        'pose_training_info': {'gender': 'f', 'names': ['a', 'b']},
        'bs_style': 'lbs',
    }


@pytest.mark.parametrize('protocol', range(3))
def test_pickles_of_chumpy_objects_are_read_without_chumpy(chumpy, arrays, tmp_path, protocol):
    path = save(tmp_path / 'smpl.pkl', as_chumpy(chumpy, arrays), protocol)
    for name in [name for name in sys.modules if name.split('.')[0] == 'chumpy']:
        del sys.modules[name]
    assert b'chumpy' in path.read_bytes()
    assert_same_body(BodyModel.load(path), arrays)


def test_files_written_by_python_2_are_read(chumpy, arrays, tmp_path):
    # Python 2 wrote bytes as they are, and named builtins and copyreg otherwise.
    class Python2Pickler(pickle._Pickler):
        dispatch: ClassVar = dict(pickle._Pickler.dispatch)

        def save_bytes(self, content):
            self.write(pickle.BINSTRING + len(content).to_bytes(4, 'little') + content)
            self.memoize(content)

        dispatch[bytes] = save_bytes

    stream = io.BytesIO()
    Python2Pickler(stream, protocol=2, fix_imports=True).dump(as_chumpy(chumpy, arrays))
    path = tmp_path / 'smpl.pkl'
    path.write_bytes(stream.getvalue().replace(b'numpy._core', b'numpy.core'))
    assert b'_codecs' not in path.read_bytes()
    assert_same_body(BodyModel.load(path), arrays)


def test_an_expression_of_chumpy_that_is_no_array_is_named(chumpy, arrays, tmp_path):
    content = {**arrays, 'weights': stated(chumpy.MatVecMult, mtx=arrays['weights'])}
    with pytest.raises(ValueError, match='not an array'):
        BodyModel.load(save(tmp_path / 'smpl.pkl', content))


# Files as they should not be


class Call:
    """Pickles as a call of a function."""

    def __init__(self, function, *arguments, state=None):
        self._reduced = (function, arguments, *([] if state is None else [state]))

    def __reduce__(self):
        return self._reduced


def assert_refused(path, error=UnsafeFileError):
    with pytest.raises(error) as caught:
        BodyModel.load(path)
    return str(caught.value)


@pytest.mark.parametrize('protocol', [0, 2, 4])
@pytest.mark.parametrize('name', ['system', 'eval', 'exec', 'mkdir', 'import', 'subprocess'])
def test_a_pickle_that_wants_to_run_code_is_refused(arrays, tmp_path, name, protocol):
    import subprocess

    marker = tmp_path / 'marker'
    code = f'open({str(marker)!r}, "w").close()'
    call = {
        'system': Call(os.system, f'touch {marker}'),
        'eval': Call(eval, code),
        'exec': Call(exec, code),
        'mkdir': Call(os.mkdir, str(marker)),
        'import': Call(__import__, 'antigravity'),
        'subprocess': Call(subprocess.Popen, ['touch', str(marker)]),
    }[name]
    path = save(tmp_path / 'smpl.pkl', {**arrays, 'posedirs': call}, protocol)
    assert 'run code' in assert_refused(path)
    assert not marker.exists()
    # The file would have done it, with a reader that lets it.
    if name != 'import':
        result = pickle.loads(path.read_bytes())['posedirs']
        if name == 'subprocess':
            result.wait()
        assert marker.exists()


def global_opcode(module, name):
    """Protocol 4's STACK_GLOBAL, which takes dotted names apart by getattr."""
    return pickle.dumps(module, 4)[2:-1] + pickle.dumps(name, 4)[2:-1] + pickle.STACK_GLOBAL


@pytest.mark.parametrize(
    ('module', 'name'),
    [
        ('numpy', 'load'),
        ('numpy', 'fromfile'),
        ('numpy', 'memmap'),
        ('numpy', 'ndarray.tofile'),
        ('numpy', 'ndarray.__class__'),
        ('numpy', 'dtype.__class__.__subclasses__'),
        ('numpy', 'os.system'),
        ('numpy', 'testing'),
        ('numpy.core.multiarray', '_reconstruct.__globals__'),
        ('numpy._core.multiarray', 'fromfile'),
        ('numpy.testing._private.utils', 'runstring'),
        ('numpy.f2py', 'compile'),
        ('numpy.ctypeslib', 'load_library'),
        ('numpyevil', 'ndarray'),
        ('scipy.sparse', 'load_npz'),
        ('scipy.sparse', 'csc_matrix.__init__.__globals__'),
        ('scipy.sparse.sys', 'modules'),
        ('scipy.sparsely', 'save_npz'),
        ('scipy', 'csc_matrix'),
        ('builtins', 'getattr'),
        ('builtins', 'object.__subclasses__'),
        ('builtins', 'bytearray'),
        ('builtins', 'set.__class__'),
        ('__builtin__', 'eval'),
        ('copyreg', 'add_extension'),
        ('copyreg', '_reconstructor.__globals__'),
        ('_codecs', 'lookup'),
        ('_codecs', 'register'),
        ('_codecs', 'decode'),
        ('chumpyevil', 'Ch'),
        ('hybrik_ros.body.reading', 'read_body_file'),
        ('functools', 'partial'),
        ('operator', 'attrgetter'),
    ],
)
def test_names_that_look_like_those_of_arrays_are_refused(tmp_path, module, name):
    path = tmp_path / 'smpl.pkl'
    path.write_bytes(b'\x80\x04' + global_opcode(module, name) + b')R.')
    assert f'{module}.{name}' in assert_refused(path)


def test_names_of_chumpy_never_reach_chumpy(tmp_path, monkeypatch):
    called = []
    evil = types.ModuleType('chumpy')
    evil.Ch = evil.system = lambda *arguments: called.append(arguments)
    monkeypatch.setitem(sys.modules, 'chumpy', evil)
    path = tmp_path / 'smpl.pkl'
    for name in ('Ch', 'system', 'os.system'):
        path.write_bytes(b'\x80\x04' + global_opcode('chumpy', name) + b')R.')
        assert_refused(path, ValueError)
    assert not called


def test_arrays_of_objects_are_refused(arrays, tmp_path):
    content = {**arrays, 'f': np.array([[None, 1, 2]], dtype=object)}
    assert 'O8' in assert_refused(save(tmp_path / 'body.pkl', content), ValueError)
    np.savez(tmp_path / 'body.npz', **content)
    assert 'allow_pickle' in assert_refused(tmp_path / 'body.npz', ValueError)


def test_a_dtype_that_claims_to_hold_objects_is_refused(arrays, tmp_path):
    # Numbers that are taken for addresses of objects: numpy believes what a pickle says.
    dtype = Call(np.dtype, 'V8', False, True,
                 state=(3, '|', None, ('x',), {'x': (np.dtype('O'), 0)}, 8, 1, 0))  # fmt: skip
    content = Call(
        np.zeros(1).__reduce__()[0], np.ndarray, (0,), b'b',
        state=(1, (6890, 3), dtype, False, b'\x41' * 6890 * 3 * 8),
    )  # fmt: skip
    path = save_with(tmp_path, arrays, v_template=content)
    assert 'V8' in assert_refused(path, ValueError)


@pytest.mark.parametrize('shape', [(10**6, 10**6), (10**12,), (-1, -1), ('a',), None])
def test_an_array_larger_than_its_content_is_refused(arrays, tmp_path, shape):
    content = Call(
        np.zeros(1).__reduce__()[0], np.ndarray, (0,), b'b',
        state=(1, shape, np.dtype('f8'), False, bytes(16)),
    )  # fmt: skip
    assert_refused(save_with(tmp_path, arrays, v_template=content), ValueError)


@pytest.mark.parametrize(
    'arguments', [((10**10, 10**3),), ((10**6, 10**5), 'O'), ((3,), 'f8', b'short')]
)
def test_arrays_are_not_made_by_calling_numpy(arrays, tmp_path, arguments):
    content = Call(np.ndarray, *arguments)
    assert_refused(save_with(tmp_path, arrays, v_template=content), ValueError)


def sparse_with(**state):
    matrix = scipy.sparse.csc_matrix(np.eye(3))
    matrix.__dict__.update(state)
    return matrix


@pytest.mark.parametrize(
    'state',
    [
        {'_shape': (24, 6890)},
        {'_shape': (2, 3)},
        {'indices': np.array([0, 1, 10**9], np.int32)},
        {'indices': np.array([0, 1, -(10**9)], np.int32)},
        {'indptr': np.array([0, 10**9, 2 * 10**9, 3], np.int64)},
        {'indptr': np.array([0, 1, 2, 10**9], np.int64)},
        {'data': np.zeros(1)},
        {'data': None},
    ],
)
def test_sparse_matrices_that_do_not_fit_together_are_refused(arrays, tmp_path, state):
    path = save_with(tmp_path, arrays, J_regressor=sparse_with(**state))
    assert_refused(path, ValueError)


@pytest.mark.parametrize('shape', [(10**9, 10**9), (10**5, 10**5), (24, 10**7)])
def test_a_sparse_matrix_is_not_made_dense_at_any_size(arrays, tmp_path, shape):
    path = save_with(tmp_path, arrays, J_regressor=sparse_with(_shape=shape))
    assert 'larger than a body needs' in assert_refused(path, ValueError)


def test_other_codecs_are_refused(arrays, tmp_path):
    import _codecs

    content = Call(_codecs.encode, 'ab', 'idna')
    assert 'idna' in assert_refused(save_with(tmp_path, arrays, f=content))


@pytest.mark.parametrize('kind', [int, set, object, 'evil'])
def test_reconstructed_objects_that_are_no_arrays_are_refused(arrays, tmp_path, kind):
    import copyreg

    content = Call(copyreg._reconstructor, kind, object, None)
    path = save_with(tmp_path, arrays, weights=content)
    assert_refused(path, ValueError)


def test_a_pickle_cannot_change_the_reader(arrays, tmp_path):
    # BUILD sets attributes of whatever lies on the stack, classes and functions included.
    change = pickle.dumps((None, {'array': 1, '__setstate__': 2, '__defaults__': 3}), 4)[2:-1]
    path = tmp_path / 'evil.pkl'
    for module, name in [
        ('numpy', 'ndarray'),
        ('numpy', 'dtype'),
        ('numpy.core.multiarray', '_reconstruct'),
        ('scipy.sparse', 'csc_matrix'),
        ('chumpy.ch', 'Ch'),
        ('_codecs', 'encode'),
        ('builtins', 'set'),
    ]:
        path.write_bytes(b'\x80\x04' + global_opcode(module, name) + change + b'b.')
        assert_refused(path, ValueError)
    content = {**arrays, 'J_regressor': scipy.sparse.csc_matrix(arrays['J_regressor'])}
    assert_same_body(BodyModel.load(save(tmp_path / 'smpl.pkl', content)), arrays)


def test_an_npz_that_unpacks_to_gigabytes_is_refused(arrays, tmp_path):
    path = tmp_path / 'smpl.npz'
    np.savez_compressed(path, **arrays)
    with (
        zipfile.ZipFile(path, 'a', zipfile.ZIP_DEFLATED, compresslevel=1) as archive,
        archive.open('posedirs.npy', 'w', force_zip64=True) as stream,
    ):
        for _ in range(1025):
            stream.write(bytes(2**20))
    assert path.stat().st_size < 2e7
    assert 'unpacks' in assert_refused(path, ValueError)


@pytest.mark.parametrize('suffix', ['.pkl', '.npz'])
@pytest.mark.parametrize(
    'content', [b'', b'not a body', b'\x80\x02}q\x00(X', b'PK\x03\x04 broken', b'\x93NUMPY\x01\x00']
)
def test_garbage_is_named_as_such(tmp_path, suffix, content):
    path = tmp_path / f'body{suffix}'
    path.write_bytes(content)
    assert str(path) in assert_refused(path, ValueError)


@pytest.mark.parametrize('content', [[1, 2], None, {'v_template': 'text'}, {'v_template': [1.0]}])
def test_a_pickle_of_something_else_is_named_as_such(tmp_path, content):
    assert_refused(save(tmp_path / 'body.pkl', content), ValueError)


def test_a_truncated_file_is_no_body(arrays, tmp_path):
    np.savez(tmp_path / 'body.npz', **arrays)
    save(tmp_path / 'body.pkl', arrays)
    for path in (tmp_path / 'body.npz', tmp_path / 'body.pkl'):
        path.write_bytes(path.read_bytes()[:-1000])
        assert_refused(path, ValueError)


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r'missing\.npz'):
        BodyModel.load(tmp_path / 'missing.npz')
    os.mkfifo(tmp_path / 'pipe.npz')
    assert 'but a pipe' in assert_refused(tmp_path / 'pipe.npz', ValueError)


def test_other_kinds_of_file_are_named(tmp_path):
    path = tmp_path / 'body.json'
    path.write_text('{}')
    assert '.json' in assert_refused(path, ValueError)


NEEDED = ('v_template', 'shapedirs', 'J_regressor', 'weights', 'kintree_table', 'f')


@pytest.mark.parametrize('name', NEEDED)
def test_an_array_that_is_missing_is_named(arrays, tmp_path, name):
    left = {key: array for key, array in arrays.items() if key != name}
    assert name in assert_refused(save(tmp_path / 'body.pkl', left), ValueError)


@pytest.mark.parametrize('name', [*NEEDED, 'posedirs'])
def test_an_array_of_a_wrong_shape_is_named(arrays, tmp_path, name):
    for wrong in (np.zeros((2, 2)), np.zeros(()), np.zeros((6890, 3, 5, 2))):
        path = save(tmp_path / 'body.pkl', {**arrays, name: wrong})
        assert name in assert_refused(path, ValueError)


@pytest.mark.parametrize('name', ['v_template', 'shapedirs', 'J_regressor', 'weights'])
def test_an_array_of_wrong_numbers_is_named(arrays, tmp_path, name):
    wrong = arrays[name].copy()
    wrong.flat[11] = np.nan
    assert name in assert_refused(save(tmp_path / 'body.pkl', {**arrays, name: wrong}), ValueError)


def test_another_tree_is_refused(arrays, tmp_path):
    table = arrays['kintree_table'].copy()
    table[0, 5] = 3
    path = save(tmp_path / 'body.pkl', {**arrays, 'kintree_table': table})
    assert 'kintree_table' in assert_refused(path, ValueError)


def test_triangles_between_vertices_that_are_not_there_are_refused(arrays, tmp_path):
    faces = arrays['f'].copy()
    faces[0, 0] = 6890
    assert 'f of the body' in assert_refused(
        save(tmp_path / 'b.pkl', {**arrays, 'f': faces}), ValueError
    )
